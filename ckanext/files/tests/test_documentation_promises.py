"""Each promise of docs/testing/promises.rst names tests, and each test that it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from ckanext.files.tests.support import documented

PAGE = documented.ROOT / "docs/testing/promises.rst"
TESTS = Path(__file__).parent

ROW = re.compile(r"^   \* - (.+?)\n     - (.+?)(?=^   \* - |^\S|\Z)", re.M | re.S)
NAME = re.compile(r"``([\w/]+\.py)::(test_\w+)``")


def rows() -> dict[str, list[tuple[str, str]]]:
    """Return the tests of each promise."""
    found = ROW.findall(PAGE.read_text())
    named = {" ".join(promise.split()): NAME.findall(tests) for promise, tests in found}
    named.pop("Promise", None)
    assert len(named) == PAGE.read_text().count("\n   * - ") - PAGE.read_text().count("* - Promise")
    return named


def functions_of(module: str) -> set[str]:
    tree = ast.parse((TESTS / module).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("promise", rows())
def test_promise_is_shown(promise: str) -> None:
    tests = rows()[promise]
    assert tests
    for module, name in tests:
        assert name in functions_of(module), f"{module}::{name}"


def test_each_name_is_read() -> None:
    """A name that is written otherwise would not be looked for."""
    read = sum(len(tests) for tests in rows().values())
    assert read == PAGE.read_text().count("::test_") > 100
