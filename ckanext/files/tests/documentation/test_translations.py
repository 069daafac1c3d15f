"""The translations are complete, and fit the texts that they translate."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import ckan
import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from ckan.plugins import get_plugin

import ckanext.files
from ckanext.files.tests.support.documented import ROOT
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files")

FOLDER = Path(next(iter(ckanext.files.__path__))) / "i18n"
TEMPLATE = FOLDER / "ckanext-files.pot"
CKAN = Path(ckan.__file__).parent / "i18n"
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
    theirs = texts(catalog(CKAN / language / "LC_MESSAGES/ckan.po", language))
    checked = {id_: fault_of(message, theirs.get(id_)) for id_, message in found.items()}
    assert {id_: fault for id_, fault in checked.items() if fault} == {}
    with (folder / "ckanext-files.mo").open("rb") as file:
        compiled = {first(message): forms(message) for message in read_mo(file) if message.id}
    ours = {first(message): forms(message) for message in found.values()}
    assert compiled == {id_: some for id_, some in ours.items() if any(some)}, RUN


def test_faults_are_found() -> None:
    new, files = ("{name} is new", "{name} ist neu"), ("{n} file", "{n} files")
    assert fault_of(Message(*new), None) == ""
    assert fault_of(Message(new[0], ""), None) == "not translated"
    assert fault_of(Message(new[0], ""), Message(*new)) == ""
    assert fault_of(Message(*new), Message(*new)) == ""
    assert fault_of(Message(*new), Message(new[0], "Neu: {name}")) == "other than CKAN's"
    assert fault_of(Message(new[0], "Neu"), None) == "other placeholders"
    assert fault_of(Message(*new, flags={"fuzzy"}), None) == "fuzzy"
    assert fault_of(Message(files, ("{n} Datei", "")), None) == "not translated"


def fault_of(message: Message, ckans: Message | None) -> str:
    """Return what is wrong with a translation, if anything.

    :param ckans: CKAN's own message of the same text. A translation of ours replaces CKAN's on all
        pages of the portal.
    """
    if message.fuzzy:
        return "fuzzy"
    ours, theirs = forms(message), forms(ckans) if ckans else [""]
    if all(theirs) and ours != theirs:
        return "other than CKAN's" if any(ours) else ""
    if not all(ours):
        return "not translated"
    # the last one: a singular may have a word for the number
    original = message.id if isinstance(message.id, str) else message.id[-1]
    wanted = sorted(PLACEHOLDER.findall(original))
    return "" if sorted(PLACEHOLDER.findall(ours[-1])) == wanted else "other placeholders"


def first(message: Message) -> str:
    """Return the text, or its singular."""
    return message.id if isinstance(message.id, str) else message.id[0]


def forms(message: Message) -> list[str]:
    """Return the translation: one text, or several for a text with plurals."""
    translated: Any = message.string
    return list(translated) if message.pluralizable else [translated]
