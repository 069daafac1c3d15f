"""What a request costs grows with its files, and not with their square."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import ckanext.files
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.portal import call, new_dataset, upload

loaded = load_plugins("files", "files_test_forms")

ROOT = str(Path(next(iter(ckanext.files.__path__))))
FEW, FACTOR = 40, 5


def calls_of(do: Callable[[], Any]) -> int:
    """Count the calls that code of this extension makes, calls of C functions included."""
    count = 0

    def note(frame: FrameType, event: str, _: Any) -> None:
        nonlocal count
        caller = frame.f_back if event == "call" else frame
        if event in ("call", "c_call") and caller:
            count += caller.f_code.co_filename.startswith(ROOT)

    sys.setprofile(note)
    try:
        do()
    finally:
        sys.setprofile(None)
    return count


def as_list(files: list[str]) -> dict[str, Any]:
    return {"several": files}


def as_lists_of_resources(files: list[str]) -> dict[str, Any]:
    halves = files[::2], files[1::2]
    return {"resources": [{"url": "http://example.com", "docs": half} for half in halves]}


def as_resources(files: list[str]) -> dict[str, Any]:
    return {"resources": [{"url": "http://example.com", "doc": file} for file in files]}


@pytest.mark.parametrize("change", ["new", "unchanged", "replaced"])
@pytest.mark.parametrize("shape", [as_list, as_lists_of_resources, as_resources])
def test_calls_grow_with_the_files(
    shape: Callable[[list[str]], dict[str, Any]], change: str
) -> None:
    user = portal.new_user()

    def update(number: int) -> int:
        old, new = (upload(user, number) for _ in range(2))
        dataset = new_dataset(user, **({} if change == "new" else shape(old)))
        fields = shape(new if change == "replaced" else old)
        if change == "unchanged":
            fields = {name: dataset[name] for name in fields}
        return calls_of(
            lambda: call("package_update", user, **{**dataset, **fields, "title": "changed"})
        )

    update(1)  # what is made once
    assert update(FEW * FACTOR) < update(FEW) * FACTOR * 1.5
