"""Whether a goal is met, as far as the interval tells."""

from __future__ import annotations

import enum

from .contests import Entry
from .estimate import Estimate
from .scores import Scores


class Verdict(enum.Enum):
    """What is said of a goal."""

    NONE = ""
    """There is no goal."""

    MET = "met"
    """The whole interval is; or, where no difference is the goal, it contains 1."""

    OPEN = "open"
    """The interval reaches across the goal: more rounds would tell."""

    MISSED = "missed"
    """The whole interval is above the goal, or there are COMMITs too many."""


def judge(entry: Entry, scores: Scores) -> Verdict:
    """Return what the rounds say of an entry's goal."""
    commits = scores.all(entry.variant, lambda call: call.commits)
    if entry.commits is not None and any(count != entry.commits for count in commits):
        return Verdict.MISSED
    if entry.goal is None:
        return Verdict.NONE
    return _compare(scores.ratio(entry.variant, entry.base, lambda call: call.seconds), entry.goal)


def _compare(ratio: Estimate, goal: float) -> Verdict:
    if ratio.low > goal:
        return Verdict.MISSED
    if ratio.high <= goal or goal == 1.0:
        return Verdict.MET
    return Verdict.OPEN
