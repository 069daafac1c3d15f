"""The processes of one contender's workers."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

_SECONDS_TO_STOP = 30
_LAST_LINES = 30


class WorkersEndedError(Exception):
    """There is nobody to do the jobs; what was said last is on standard error."""


class Workers:
    """They run between entering and leaving the context, in a process group of their own."""

    def __init__(self, command: str, environment: Mapping[str, str], log: Path) -> None:
        program, *arguments = command.split()
        # of the same virtual environment, whatever PATH is
        self._command = [str(Path(sys.executable).with_name(program)), *arguments]
        self._environment = environment
        self._log = log

    def __enter__(self) -> Workers:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                env={**os.environ, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error:
            self._tell()
        self._stop()

    def pause(self) -> None:
        """Let none of them run, while many jobs are enqueued."""
        self._send(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let all of them run again."""
        self._send(signal.SIGCONT)

    def check(self) -> None:
        """Fail if the one that was started has ended; it has said why."""
        if self._process.poll() is not None:
            raise WorkersEndedError(f"The workers have ended: {' '.join(self._command)}")

    def _send(self, number: signal.Signals) -> None:
        os.killpg(self._process.pid, number)

    def _stop(self) -> None:
        """Ask the first to end, and leave nobody behind."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.terminate()
            self._process.wait(_SECONDS_TO_STOP)
        with contextlib.suppress(ProcessLookupError):
            self._send(signal.SIGKILL)
        self._process.wait()

    def _tell(self) -> None:
        lines = self._log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
        print(*lines, sep="\n", file=sys.stderr)
