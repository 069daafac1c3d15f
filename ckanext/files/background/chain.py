"""A task that runs several calls, one after the other, in one job."""

from __future__ import annotations

from typing import Any

from .call import Call, deserialize_task, find_task
from .context import forget_text, progress_between
from .errors import ArgumentError
from .parts import CHAIN
from .task import Task


def _percent(calls: list[Any], total: int | None = None, begun: bool = False) -> float | None:
    count = total or len(calls)
    if not calls:
        return 100.0
    first = deserialize_task(calls[0])
    share = find_task(first.task_name).percent_of(first)
    if share is None and begun:
        return None  # keeps what the first call has set by set_progress
    return (100.0 * (count - len(calls)) + (share or 0.0)) / count


class _Chain(Task[Any]):
    """Refuses an invalid call when the chain is made, not when a step comes to it."""

    def __call__(self, /, *args: Any, **kwargs: Any) -> Call:
        call = super().__call__(*args, **kwargs)
        calls = call.args["calls"]
        if not isinstance(calls, list):
            raise ArgumentError(f"The calls of {self.name} are a list of calls, not {calls!r}")
        for number, each in enumerate(calls):
            try:
                deserialize_task(each)
            except ArgumentError as error:
                raise ArgumentError(f"calls[{number}] of {self.name}: {error}") from None
        return call


def _chain(calls: list[Any], total: int | None = None, begun: bool = False) -> Any:
    """Run calls one after the other; each may go on in as many steps as it likes.

    The result of a call is not passed to the next one.

    :param calls: such as ``[prepare(dataset_id), publish(dataset_id)]``.
    :param total: for the chain's own steps: how many calls there were.
    :param begun: for the chain's own steps: whether the first call has done a step.
    """
    if not calls:
        return None
    total = max(total or 0, len(calls))
    first, *rest = calls
    done = total - len(calls)
    with progress_between(100.0 * done / total, 100.0 * (done + 1) / total):
        result = deserialize_task(first).run_once()
    if isinstance(result, Call):
        return chain([result, *rest], total, begun=True)
    if not rest:
        return result
    forget_text()
    return chain(rest, total)


chain = _Chain(_chain, name=CHAIN, percent=_percent)
