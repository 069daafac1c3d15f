"""What one contender does in a round."""

from __future__ import annotations

import dataclasses

from .journal import MissingError, now
from .tasks import WORKS
from .team import Team

_SECONDS_TO_WARM_UP = 60


@dataclasses.dataclass(frozen=True)
class Measured:
    """The figures of one turn."""

    rates: dict[str, float]
    """Jobs a second, for each piece of work."""

    waits: list[float]
    """Seconds until a job started on an idle worker."""


def take_turn(team: Team) -> Measured:
    """Start the workers, measure them, and stop them."""
    contender = team.contender
    with team.start():
        for work in WORKS:
            _warm_up(team, work)
        waits = team.ask(contender.requests)
        rates = {work: contender.jobs / team.do(work, contender.jobs).seconds for work in WORKS}
        return Measured(rates, waits)


def _warm_up(team: Team, work: str) -> None:
    """Let jobs be done until each process has had some."""
    processes: set[int] = set()
    until = now() + _SECONDS_TO_WARM_UP
    while len(processes) < team.contender.processes:
        if now() > until:
            raise MissingError(f"{team.contender}: only {len(processes)} processes work")
        processes |= team.do_unmeasured(work, max(1, team.contender.jobs // 10)).processes
