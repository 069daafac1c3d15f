"""The documents render, their links lead somewhere, and their sentences name who does what."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ckanext.files.tests.support.documented import ROOT
from ckanext.files.tests.support.rendering import links, problems

PAGES = [path.relative_to(ROOT) for path in ROOT.glob("*.rst")]
"""What a repository shows; ``test_documentation_site`` builds the pages of the site."""

TEXTS = [*PAGES, *(path.relative_to(ROOT) for path in ROOT.glob("docs/**/*.rst"))]

WORDS = r"nobody|somebody|whoever|anybody|everybody|those who"


def test_pages() -> None:
    assert len(PAGES) == 3
    assert len(TEXTS) > 30


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_renders(page: Path) -> None:
    text = (ROOT / page).read_text()
    assert problems(text) == []
    assert not re.search(r"^(<{7}|>{7}) ", text, re.M), "a conflict of git"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links(page: Path) -> None:
    for target in links((ROOT / page).read_text()):
        if not re.match(r"\w+:", target):
            assert (ROOT / page.parent / target).is_file(), target


@pytest.mark.parametrize("page", TEXTS, ids=str)
def test_words(page: Path) -> None:
    """Each of these stands for an actor or a noun that the reader would have to guess."""
    assert re.findall(rf"\b(?:{WORDS}|that of|those of)\b.*", (ROOT / page).read_text(), re.I) == []


def test_words_of_the_code() -> None:
    """Docstrings, comments and messages name the actor as well."""
    sources = [path for kind in ("py", "sql") for path in ROOT.glob(f"ckanext/**/*.{kind}")]
    product = [path for path in sources if "tests" not in path.parts]
    assert len(product) > 100
    found = {
        path.name: re.findall(rf"\b(?:{WORDS})\b.*", path.read_text(), re.I) for path in product
    }
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_each_page_can_be_reached_from_the_readme() -> None:
    """Sphinx warns of a page to which ``docs/index.rst`` does not lead."""
    named = set(links((ROOT / "README.rst").read_text()))
    assert {str(page) for page in PAGES} - named == {"README.rst"}
    assert "docs/index.rst" in named


def test_readme_is_short() -> None:
    assert len((ROOT / "README.rst").read_text().splitlines()) <= 150


def test_address_of_the_repository_stands_in_one_place() -> None:
    """The clone line of the README: ``setup.py`` and all texts take it from there."""
    texts = [(ROOT / page).read_text() for page in TEXTS]
    texts += [(ROOT / name).read_text() for name in ("setup.py", "setup.cfg", "MANIFEST.in")]
    found = re.findall(r"\w+://\S+/ckanext-files\S*", "\n".join(texts))
    assert found == ["https://example.org/ckanext-files.git"]


@pytest.mark.parametrize("page", TEXTS, ids=str)
def test_nothing_installs_the_other_product(page: Path) -> None:
    """Until this version is published, its name on the package index is another product's."""
    text = (ROOT / page).read_text()
    named = re.findall(r"pip install\s+'?ckanext-files\S*", text)
    assert named == (["pip install ckanext-files``:"] if str(page) == "README.rst" else [])
