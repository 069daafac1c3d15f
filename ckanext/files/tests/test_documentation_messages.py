"""Each message of the page about troubleshooting is one that the code has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from ckanext.files.tests.support.documented import ROOT

PAGE = ROOT / "docs/operating/troubleshooting.rst"
PACKAGE = ROOT / "ckanext/files"

GAP = "…"
"""Stands for the parts of a message that differ, on the page and below."""


def messages() -> list[str]:
    return re.findall(r"^``(.+)``\n    ", PAGE.read_text(), re.M)


def texts() -> Iterator[str]:
    """Yield all texts of the code."""
    for path in PACKAGE.rglob("*.py"):
        if "tests" not in path.relative_to(PACKAGE).parts:
            for node in ast.walk(ast.parse(path.read_text())):
                yield _text(node)
    for path in PACKAGE.rglob("*.sql"):
        yield re.sub(r"' \|\| \w+ \|\| '", GAP, path.read_text())


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or GAP for part in node.values)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"%[sdar]|\{\w+\}", GAP, node.value)
    return ""


@pytest.fixture(scope="module")
def code() -> str:
    return "\n".join(texts())


def test_there_are_messages() -> None:
    assert len(messages()) > 30


@pytest.mark.parametrize("message", messages())
def test_message_is_in_the_code(message: str, code: str) -> None:
    parts = [re.escape(part) for part in message.split(GAP)]
    assert re.search(f"[^\n]*{GAP}[^\n]*".join(parts), code)


def test_another_message_is_not_in_the_code(code: str) -> None:
    """The negative control."""
    assert "The storage is made of cheese" not in code
