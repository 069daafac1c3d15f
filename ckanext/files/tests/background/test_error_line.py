"""What people read of an error: its words, or the class without its module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ckan.plugins import toolkit as tk

from ckanext.files.background.error_line import shortened, words_of
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")

LINES = {
    "ckanext.memo.tasks.NotReady: The memo: not yet": (
        "The memo: not yet",
        "NotReady: The memo: not yet",
    ),
    "a.make.<locals>.NotReady: no\nmore": ("no", "NotReady: no"),
    "ValueError: example.com: refused": (
        "example.com: refused",
        "ValueError: example.com: refused",
    ),
    "KeyError: 'name'": ("'name'", "KeyError: 'name'"),
    "memo.NotReady": ("", "NotReady"),
    "ValueError: \n[SQL: SELECT]": ("", "ValueError: "),
    "Solr cannot be reached, pause 1 of 15: ckan.lib.SearchError: HTTP 503": (
        "Solr cannot be reached, pause 1 of 15: HTTP 503",
        "Solr cannot be reached, pause 1 of 15: SearchError: HTTP 503",
    ),
    "Redis cannot be reached, pause 2 of 15: redis.TimeoutError": (
        "Redis cannot be reached, pause 2 of 15",
        "Redis cannot be reached, pause 2 of 15: TimeoutError",
    ),
    "The worker was lost 3 times while it ran this step": (
        "The worker was lost 3 times while it ran this step",
        "The worker was lost 3 times while it ran this step",
    ),
    "": ("", ""),
}


@pytest.mark.parametrize("error", LINES, ids=str)
def test_line(error: str) -> None:
    assert (words_of(error), shortened(error)) == LINES[error]


def test_validation(make_task: Any, run: Any) -> None:
    """It is told by field, and not as a dictionary; a text without a field stays as it is."""
    errors = {"title": ["Missing value"], "resources": [{}, {"url": ["No", "Never"]}], "x": []}

    @make_task
    def refuse(of_fields: bool) -> None:
        raise tk.ValidationError(errors if of_fields else "Not now")

    text = "title: Missing value; resources: url: No, Never"
    assert run(refuse.delay(True)).error == f"ckan.logic.ValidationError: {text}"
    assert run(refuse.delay(False)).error == "ckan.logic.ValidationError: Not now"


def test_paths_of_the_server(make_task: Any, run: Any, tmp_path: Path) -> None:
    """They are in the traceback, for operators: the error is for the owner of the job."""

    @make_task
    def read() -> None:
        (tmp_path / "levels.csv").read_text()

    @make_task
    def compiled() -> None:
        compile("1 +", str(tmp_path / "rules.py"), "exec")

    errors = {
        read: "FileNotFoundError: No such file or directory",
        compiled: "SyntaxError: invalid syntax",
    }
    for task, error in errors.items():
        failed = run(task.delay())
        assert failed.error == error
        assert str(tmp_path) in failed.traceback
