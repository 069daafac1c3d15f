"""CKAN as a variant has it, within this process."""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from ckan.cli import load_config
from ckan.config.middleware import make_app

from .attachments import AttachmentsPlugin
from .variants import Variant

HERE = Path(__file__).resolve().parent


def load_site(variant: Variant) -> Any:
    """Load CKAN, and return its Flask application."""
    # CKAN 2.11 logs errors when a dataset is purged; failures that matter are exceptions
    logging.disable(logging.ERROR)
    # CKAN finds plugins by entry points, and this one is not installed
    sys.path.append(str(HERE / "entry_points"))
    AttachmentsPlugin.validator = variant.validator
    if variant.plugin and not variant.intents:
        index_intents: Any = import_module("ckanext.files.transaction.index_intents")
        index_intents.write = lambda *_: index_intents.Written()
    config: Any = load_config(str(HERE.parent / "test.ini"))
    config["ckan.plugins"] = variant.plugins
    app: Any = make_app(config)
    return app._wsgi_app  # noqa: SLF001  # CKAN wraps it without its contexts
