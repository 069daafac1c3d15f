"""How much memory a process uses, as Linux reports it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

on_linux = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="only Linux reports the peak of memory"
)


def reset_peak(process: int | str = "self") -> int:
    """Return the memory in use, in bytes; the peak starts again from there."""
    Path(f"/proc/{process}/clear_refs").write_text("5")
    return _memory(process, "VmRSS")


def peak(process: int | str = "self") -> int:
    """Return the most memory that was used since the last reset, in bytes."""
    return _memory(process, "VmHWM")


def _memory(process: int | str, name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found
    return int(found[1]) * 1024
