"""The worker processes of all variants."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

from .variants import Variant


class WorkerDiedError(Exception):
    """A worker has ended before its answer; what it said is on standard error."""


class Hand:
    """A process that does what it is told; see ``serving``."""

    def __init__(self, module: str, *arguments: str, environment: Mapping[str, str]) -> None:
        self._name = arguments[0]
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )

    def ask(self, do: str, **arguments: Any) -> Any:
        """Have something done, and return the answer."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise WorkerDiedError(f"The worker {self._name!r} died at {do!r}")
        return json.loads(answer)

    def dismiss(self) -> None:
        """End the process."""
        self._process.communicate()


class Crew:
    """One process for each variant, started together."""

    def __init__(self, variants: Iterable[Variant], user: str, seed: int) -> None:
        # the order of sets is the same for those who are compared
        environment = {"PYTHONHASHSEED": str(seed)}
        self._hands = {
            variant: Hand("benchmarks.worker", variant.name, user, environment=environment)
            for variant in variants
        }

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for hand in self._hands.values():
            hand.dismiss()

    def __getitem__(self, variant: Variant) -> Hand:
        return self._hands[variant]

    def __iter__(self) -> Any:
        return iter(self._hands.values())
