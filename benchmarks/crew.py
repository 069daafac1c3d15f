"""The worker processes of all variants."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from .variants import Variant


class WorkerDiedError(Exception):
    """A worker has ended before its answer; what it said is on standard error."""


class Hand:
    """The process of one variant."""

    def __init__(self, variant: Variant, user: str, seed: int) -> None:
        self._name = variant.name
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", variant.name, user],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # the order of sets is the same for those who are compared
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
        )

    def ask(self, do: str, **arguments: Any) -> Any:
        """Have something done, and return the answer; see ``worker.Worker``."""
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
        self._hands = {variant: Hand(variant, user, seed) for variant in variants}

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
