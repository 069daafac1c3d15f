"""Everything that people read can be translated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from babel.messages.pofile import read_po
from ckan.plugins import get_plugin

import ckanext.files
from ckanext.files.tests.support.documented import ROOT

TEMPLATE = Path(next(iter(ckanext.files.__path__))) / "i18n" / "ckanext-files.pot"


def messages(path: Path) -> set[str]:
    with path.open("rb") as file:
        return {str(message.id) for message in read_po(file)}


def test_catalogue_is_complete(tmp_path: Path) -> None:
    fresh = tmp_path / "fresh.pot"
    command = [sys.executable, "setup.py", "-q", "extract_messages", "--output-file", str(fresh)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert messages(fresh) == messages(TEMPLATE), "run: python setup.py extract_messages"
    assert "Not available" in messages(fresh)


@pytest.mark.usefixtures("with_plugins")
def test_plugin_offers_its_catalogue() -> None:
    plugin: Any = get_plugin("files")
    assert Path(plugin.i18n_directory()) == TEMPLATE.parent
    assert plugin.i18n_domain() == TEMPLATE.stem
    assert plugin.i18n_locales() == []
