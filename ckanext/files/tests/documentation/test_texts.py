"""All documents render, link and name what exists; all messages can be found and translated."""

from __future__ import annotations

import ast
import functools
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ckanext.files.tests.support.browser import WIDTHS
from ckanext.files.tests.support.documented import ROOT, links, problems

pytestmark = pytest.mark.once(reason="texts are the same for both versions")

PACKAGE = ROOT / "ckanext/files"
TESTS = PACKAGE / "tests"

PAGES = [path.relative_to(ROOT) for path in ROOT.glob("*.rst")]
"""What a repository shows; Sphinx builds the pages of the site."""

TEXTS = [*PAGES, *(path.relative_to(ROOT) for path in ROOT.glob("docs/**/*.rst"))]

WORDS = r"nobody|somebody|whoever|anybody|everybody|those who|that of|those of"


def product(kind: str) -> list[Path]:
    """Return the files of the code without the tests."""
    files = PACKAGE.rglob(f"*.{kind}")
    return [path for path in files if "tests" not in path.relative_to(PACKAGE).parts]


# Pages


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_page_renders_and_its_links_lead_somewhere(page: Path) -> None:
    text = (ROOT / page).read_text()
    assert problems(text) == []
    assert not re.search(r"^(<{7}|>{7}) ", text, re.M), "a conflict of git"
    for target in links(text):
        assert re.match(r"\w+:", target) or (ROOT / page.parent / target).is_file(), target


def test_readme_is_short_and_leads_to_all_pages() -> None:
    """Sphinx warns of a page to which ``docs/index.rst`` does not lead."""
    text = (ROOT / "README.rst").read_text()
    assert len(text.splitlines()) <= 170
    named = set(links(text))
    assert len(PAGES) == 3
    assert {str(page) for page in PAGES} - named == {"README.rst"}
    assert "docs/index.rst" in named


def test_site(tmp_path: Path) -> None:
    """Each page, reference and example; a page that no other leads to is a warning."""
    command = [sys.executable, "-m", "sphinx", "-qWE", "--keep-going"]
    folders = ["-d", tmp_path / "doctrees", "docs", tmp_path / "site"]
    built = subprocess.run([*command, *folders], cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    reference = tmp_path / "site/reference"
    assert "files_job_list" in (reference / "actions.html").read_text()
    assert "ckan files background worker" in (reference / "commands.html").read_text()
    configuration = (reference / "configuration.html").read_text()
    for declarations in PACKAGE.glob("*/config_declaration.yaml"):
        for option in re.findall(r"key: (ckanext\.\S+)", declarations.read_text()):
            assert f'id="{re.sub("[._]", "-", option)}"' in configuration


def test_each_picture_is_shown() -> None:
    """On a page of the documentation, at one of its two widths."""
    pages = "".join((ROOT / page).read_text() for page in TEXTS)
    shown = set(re.findall(r"/pictures/([\w-]+)-\d+\.png", pages))
    files = [path.stem for path in ROOT.glob("docs/pictures/*.png")]
    assert sorted(files) == sorted(f"{name}-{width}" for name in shown for width in WIDTHS)


def test_picture_of_the_house() -> None:
    house = runpy.run_path(str(ROOT / "docs/tools/house.py"))
    assert house["draw"]() == house["PICTURE"].read_text(), "run: python docs/tools/house.py"


def test_words_name_the_actor() -> None:
    """The reader would have to guess an actor or a noun for each of these."""
    folders = ("ckanext", "demo", "dev", "benchmarks")
    sources = [
        *product("sql"),
        *(path for name in folders for path in ROOT.glob(f"{name}/**/*.py")),
        *("Makefile", "pyproject.toml", "setup.cfg", "test.ini", "demo/demo.ini", ".ci/run"),
    ]
    sources.remove(Path(__file__))
    assert len(sources) > 200
    assert len(TEXTS) > 30
    for path in [*TEXTS, *sources]:
        found = re.findall(rf"\b(?:{WORDS})\b.*", (ROOT / path).read_text(), re.I)
        assert found == [], path


def test_address_of_the_repository_stands_in_one_place() -> None:
    """The clone line of the README: ``setup.py`` and all texts take it from there."""
    texts = [(ROOT / page).read_text() for page in TEXTS]
    texts += [(ROOT / name).read_text() for name in ("setup.py", "setup.cfg", "MANIFEST.in")]
    found = re.findall(r"\w+://\S+/ckanext-files\S*", "\n".join(texts))
    assert found == ["https://example.org/ckanext-files.git"]


def test_nothing_installs_the_other_product() -> None:
    """Until this version is published, its name on the package index is another product's."""
    for page in TEXTS:
        named = re.findall(r"pip install\s+'?ckanext-files\S*", (ROOT / page).read_text())
        expected = ["pip install ckanext-files``:"] if str(page) == "README.rst" else []
        assert named == expected, page


# Each message of the page about troubleshooting is one that the code has

GAP = "…"
"""Stands for the parts of a message that differ, on the page and below."""


def code_texts() -> Iterator[str]:
    """Yield all texts of the code."""
    for path in product("py"):
        for node in ast.walk(ast.parse(path.read_text())):
            yield _text(node)
    for path in product("sql"):
        yield re.sub(r"' \|\| \w+ \|\| '", GAP, path.read_text())


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or GAP for part in node.values)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"%[sdar]|\{\w+\}", GAP, node.value)
    return ""


def test_messages_are_in_the_code() -> None:
    page = (ROOT / "docs/operating/troubleshooting.rst").read_text()
    messages = re.findall(r"^``(.+)``\n    ", page, re.M)
    assert len(messages) > 30
    code, control = "\n".join(code_texts()), "The storage is made of cheese"
    for message in (*messages, control):
        parts = [re.escape(part) for part in message.split(GAP)]
        found = re.search(f"[^\n]*{GAP}[^\n]*".join(parts), code)
        assert bool(found) == (message != control), message


# Each promise names tests, and each test that it names exists

PROMISES = (ROOT / "docs/testing/promises.rst").read_text()
ROW = re.compile(r"^   \* - (.+?)\n     - (.+?)(?=^   \* - |^\S|\Z)", re.M | re.S)
NAME = re.compile(r"``([\w/]+\.py)::(test_\w+)``")


def test_each_promise_is_shown() -> None:
    rows = [row for row in ROW.findall(PROMISES) if row[0] != "Promise"]
    assert len(rows) == PROMISES.count("\n   * - ") - PROMISES.count("* - Promise")
    tests = {" ".join(promise.split()): NAME.findall(tests) for promise, tests in rows}
    assert len(tests) == len(rows)
    assert all(tests.values())
    # a name that is written otherwise would not be looked for
    names = [name for some in tests.values() for name in some]
    assert len(names) == PROMISES.count("::test_") > 100
    missing = [f"{module}::{name}" for module, name in names if name not in _functions_of(module)]
    assert missing == []


@functools.cache
def _functions_of(module: str) -> set[str]:
    tree = ast.parse((TESTS / module).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
