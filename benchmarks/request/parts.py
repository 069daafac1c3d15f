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
    held = with_task_queue(eager=True)(_commits)
    return {
        "frame": _cost_of_frame(),
        "intent": statistics.median(_intents(user)),
        "real": statistics.median(_commits({}, {"user": user})),
        "held": statistics.median(held({}, {"user": user})),
    }


def _cost_of_frame() -> float:
    arguments: Any = ({"user": "somebody"}, {"id": "something"})
    queued = with_task_queue(_nothing)
    return _fastest(lambda: queued(*arguments)) - _fastest(lambda: _nothing(*arguments))


def _fastest(function: Callable[[], Any]) -> float:
    return min(timeit.repeat(function, number=_CALLS, repeat=_REPETITIONS)) / _CALLS


def _nothing(context: Any, data_dict: Any) -> None:
    pass


def _commits(context: Any, data_dict: Any) -> list[float]:
    user: Any = model.User.get(data_dict["user"])
    times: list[float] = []
    for number in range(_COMMITS):
        user.about = f"Commit {number}"
        model.Session.flush()
        began = time.perf_counter()
        model.Session.commit()
        times.append(time.perf_counter() - began)
    return times


def _intents(name: str) -> list[float]:
    user: Any = model.User.get(name)
    times: list[float] = []
    for number in range(_COMMITS):
        user.about = f"Intent {number}"
        model.Session.flush()
        began = time.perf_counter()
        write_intents(model.Session(), [user.id])
        times.append(time.perf_counter() - began)
        model.Session.commit()
    return times
