"""Where things are, and how a command is run that takes long."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".dev"
LOGS, NOTES, RUNS = STATE / "log", STATE / "run", STATE / "runs"
WITH_US = ("setpriv", "--pdeathsig", "TERM")
"""Prefix of a command that ends with this process, even if this process is killed."""

_SILENCE = 15
"""Seconds after which a command that takes long is mentioned again."""


class DevError(Exception):
    """What a developer has to know; printed without a traceback."""


def say(text: str) -> None:
    """Print what happens."""
    print(f">>> {text}", file=sys.stderr, flush=True)


def run_logged(what: str, command: list[Any], log: str, **options: Any) -> None:
    """Run a command that prints into a log, and print from time to time how far it is."""
    path, began = LOGS / f"{log}.log", time.monotonic()
    say(what)
    with path.open("wb") as output:
        streams = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
        process = subprocess.Popen([*WITH_US, *command], **streams, **options)
    while (status := _wait(process)) is None:
        lines = ["", *filter(str.strip, path.read_text(errors="replace").splitlines())]
        say(f"{what}: {time.monotonic() - began:.0f} s, {lines[-1].strip()[:100]}")
    if status:
        raise DevError(f"{what}: failed, see {path}")


def _wait(process: subprocess.Popen[Any]) -> int | None:
    try:
        return process.wait(_SILENCE)
    except subprocess.TimeoutExpired:
        return None


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Let one process at a time do something."""
    with (NOTES / f"{name}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
