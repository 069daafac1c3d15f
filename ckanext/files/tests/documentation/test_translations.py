"""The translations are complete, and fit the texts that they translate."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from ckan.plugins import get_plugin

import ckanext.files
from ckanext.files.tests.support.documented import ROOT
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files")

FOLDER = Path(next(iter(ckanext.files.__path__))) / "i18n"
TEMPLATE = FOLDER / "ckanext-files.pot"
LANGUAGES = ("de", "es", "fr", "ja")
PLACEHOLDER = re.compile(r"\{\w*\}|%\(\w+\)[sd]|%[sd]|<[^>]+>")
RUN = "run: make messages"


def catalog(path: Path, language: str | None = None) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=language)


def texts(of: Catalog) -> dict[Any, Message]:
    return {message.id: message for message in of if message.id}


def test_template_is_current(tmp_path: Path) -> None:
    fresh = tmp_path / "fresh.pot"
    command = [sys.executable, "setup.py", "-q", "extract_messages", "--output-file", str(fresh)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    found = set(texts(catalog(fresh)))
    assert found == set(texts(catalog(TEMPLATE))), RUN
    assert "Not available" in found


def test_plugin_brings_the_translations(loaded: None) -> None:
    plugin: Any = get_plugin("files")
    assert Path(plugin.i18n_directory()) == FOLDER
    assert plugin.i18n_domain() == TEMPLATE.stem
    assert sorted(plugin.i18n_locales()) == [*LANGUAGES]


@pytest.mark.parametrize("language", LANGUAGES)
def test_translation_is_complete(language: str) -> None:
    folder = FOLDER / language / "LC_MESSAGES"
    translation = catalog(folder / "ckanext-files.po", language)
    wanted, found = texts(catalog(TEMPLATE)), texts(translation)
    assert found.keys() == wanted.keys(), RUN
    faults = {id_: fault for id_, message in found.items() if (fault := fault_of(message))}
    assert faults == {}
    compiled = io.BytesIO()
    write_mo(compiled, translation)
    assert (folder / "ckanext-files.mo").read_bytes() == compiled.getvalue(), RUN


def test_faults_are_found() -> None:
    good = Message("{name} is new", "{name} ist neu")
    assert fault_of(good) == ""
    assert fault_of(Message("{name} is new", "")) == "not translated"
    assert fault_of(Message("{name} is new", "Neu")) == "other placeholders"
    assert fault_of(Message("{name} is new", "{name} ist neu", flags={"fuzzy"})) == "fuzzy"
    assert fault_of(Message(("{n} file", "{n} files"), ("{n} Datei", ""))) == "not translated"


def fault_of(message: Message) -> str:
    """Return what is wrong with a translation, if anything."""
    if message.fuzzy:
        return "fuzzy"
    translated: Any = message.string if message.pluralizable else (message.string,)
    if not all(translated):
        return "not translated"
    # the last one: a singular may have a word for the number
    original = message.id[-1] if isinstance(message.id, tuple) else message.id
    wanted = sorted(PLACEHOLDER.findall(original))
    return "" if sorted(PLACEHOLDER.findall(translated[-1])) == wanted else "other placeholders"
