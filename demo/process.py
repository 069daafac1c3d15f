"""A process of CKAN that goes when the demo goes."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

STOP_SECONDS = 10


@contextmanager
def start(
    ini: Path,
    log: Path,
    environment: Mapping[str, str],
    *arguments: str,
    output: int = subprocess.STDOUT,
) -> Iterator[subprocess.Popen[str]]:
    """Start ``ckan ARGUMENTS``, and stop it, and all that it has started, at the end.

    :param output: ``subprocess.PIPE`` to read what it prints, which goes to the log otherwise.
    """
    # should the demo be killed, the process goes with it
    with_us = ["setpriv", "--pdeathsig", "KILL"]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*with_us, "ckan", "-c", str(ini), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file if output == subprocess.STDOUT else output,
            stderr=file,
            env=environment,
            text=True,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        return
