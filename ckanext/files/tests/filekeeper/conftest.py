"""Storages of every kind that a test can run."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import file_keeper as fk
import flask
import pytest

from ckanext.files import capabilities
from ckanext.files.filekeeper.adapters import all_adapters
from ckanext.files.tests.support.load_plugins import s3_options

BASES = import_module(
    "ckan.lib.files" if capabilities.CORE_FILES else "ckanext.files.backport.storage"
)
OURS = ["fs", "memory", "s3", "redis", "sqlalchemy", "zip"]

Make = Callable[..., Any]


@pytest.fixture
def make(request: pytest.FixtureRequest, tmp_path: Path, ckan_config: Any) -> Iterator[Make]:
    """Make storages: ``make("s3", max_size=10)``; core's where the kind is ``ckan:fs``."""

    def make(kind: str, **options: Any) -> Any:
        adapter: Any = fk.adapters[kind] if ":" in kind else all_adapters(BASES)[kind]
        settings = {"type": kind, "name": kind, "overwrite_existing": True}
        required = _required(kind, request, tmp_path, ckan_config)
        return adapter({**settings, **required, **options})

    with flask.Flask(__name__).test_request_context():
        yield make


@pytest.fixture(params=OURS)
def storage(request: pytest.FixtureRequest, make: Make) -> Any:
    """A storage of each kind."""
    return make(request.param)


def _required(
    kind: str, request: pytest.FixtureRequest, folder: Path, config: Any
) -> dict[str, Any]:
    """Return the settings without which the adapter fails."""
    unique = f"bucket-{uuid.uuid4()}"
    if kind == "s3":
        return {**s3_options(request.getfixturevalue("s3"), unique), "path": "below"}
    local = {"path": str(folder / "files"), "initialize": True}
    columns = {"location_column": "location", "content_column": "content"}
    database = {"db_url": f"sqlite:///{folder}/files.db", "table_name": "files", **columns}
    required: dict[str, dict[str, Any]] = {
        "fs": local,
        "ckan:fs": local,
        "redis": {"bucket": unique, "url": config["ckan.redis.url"]},
        "zip": {"zip_path": str(folder / "files.zip"), "initialize": True},
        "sqlalchemy": {**database, "initialize": True},
    }
    return required.get(kind, {})
