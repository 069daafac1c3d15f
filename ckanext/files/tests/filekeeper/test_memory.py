"""Uploads and responses keep only a small part of a large file in memory."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from file_keeper import Location, make_upload

from ckanext.files.tests.filekeeper.conftest import Make

MIB = 1024 * 1024

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="only Linux reports the peak of memory"
)


@pytest.mark.parametrize("kind", ["fs", "s3"])
def test_large_file(make: Make, tmp_path: Path, full_size: bool, kind: str) -> None:
    size = 1024 * MIB if full_size else 128 * MIB
    storage = make(kind)
    with (tmp_path / "large").open("wb") as file:
        file.truncate(size)
    with (tmp_path / "large").open("rb") as file:
        before = _reset_peak()
        data = storage.upload(Location("a"), make_upload(file))
    assert _peak() - before < 32 * MIB
    assert data.size == size

    before = _reset_peak()
    response = storage.as_response(data)
    assert sum(map(len, response.iter_encoded())) == size
    response.close()
    assert _peak() - before < 32 * MIB


def _reset_peak() -> int:
    """Return the memory in use, from which the peak starts again."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM")


def _status(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024
