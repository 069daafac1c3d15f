"""All rounds."""

from __future__ import annotations

import contextlib
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from .contenders import Contender
from .databases import Databases
from .scores import Scores
from .team import Team
from .turn import Measured, take_turn


def run(contenders: Sequence[Contender], rounds: int) -> Scores:
    """Let each contender have its turn in each round, in random order."""
    scores = Scores()
    with _teams(contenders) as teams:
        for number in range(1, rounds + 1):
            measured: dict[str, Measured] = {}
            for team in random.sample(teams, len(teams)):
                _tell(f"round {number} of {rounds}: {team.contender}")
                measured[team.contender.name] = take_turn(team)
            scores.add(measured)
    return scores


@contextlib.contextmanager
def _teams(contenders: Sequence[Contender]) -> Iterator[list[Team]]:
    with (
        tempfile.TemporaryDirectory() as folder,
        Databases({contender.database for contender in contenders}) as databases,
        contextlib.ExitStack() as stack,
    ):
        teams = []
        for contender in contenders:
            team = Team(contender, Path(folder), databases.url(contender.database))
            stack.callback(team.dismiss)
            team.prepare()
            teams.append(team)
        yield teams


def _tell(what: str) -> None:
    print(f">>> {what}", file=sys.stderr, flush=True)
