"""What the parts cost: the frame around an action, and a commit that is held back."""

from __future__ import annotations

import statistics
import time
import timeit
from collections.abc import Callable
from typing import Any

from ckan import model

from ckanext.files.shared import with_task_queue
from ckanext.files.transaction.index_intents import write as write_intents

_CALLS = 20_000
_REPETITIONS = 7
_COMMITS = 300


def measure(user: str) -> dict[str, float]:
    """Return the seconds that each part takes.

    ``frame`` is what a queue adds to an action that queues nothing, ``intent`` is
    what others are told before Solr is asked, ``real`` and ``held`` are commits of
    one changed row.
    """

    def commits(context: Any, data_dict: Any) -> float:
        return _median(user, lambda changed: model.Session.commit())

    return {
        "frame": _cost_of_frame(),
        "intent": _median(user, lambda changed: write_intents(model.Session(), [changed.id])),
        "real": commits({}, {}),
        "held": with_task_queue(eager=True)(commits)({}, {}),
    }


def _cost_of_frame() -> float:
    arguments: Any = ({"user": "a user"}, {"id": "something"})
    queued = with_task_queue(_nothing)
    return _fastest(lambda: queued(*arguments)) - _fastest(lambda: _nothing(*arguments))


def _fastest(function: Callable[[], Any]) -> float:
    return min(timeit.repeat(function, number=_CALLS, repeat=_REPETITIONS)) / _CALLS


def _nothing(context: Any, data_dict: Any) -> None:
    pass


def _median(name: str, measured: Callable[[Any], Any]) -> float:
    """Return how long something takes when a row of a user has changed."""
    user: Any = model.User.get(name)
    times: list[float] = []
    for number in range(_COMMITS):
        user.about = f"Change {number}"
        model.Session.flush()
        began = time.perf_counter()
        measured(user)
        times.append(time.perf_counter() - began)
        model.Session.commit()
    return statistics.median(times)
