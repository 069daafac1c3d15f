"""A task that runs several, one after the other, in one job."""

from __future__ import annotations

from typing import Any

from .call import Call, deserialize_task
from .context import sharing
from .registry import find
from .task import task


def _percent(calls: list[Any], total: int | None = None) -> float:
    count = total or len(calls)
    if not calls:
        return 100.0
    first = deserialize_task(calls[0])
    share = find(first.task_name).percent_of(first) or 0.0
    return (100.0 * (count - len(calls)) + share) / count


@task(name="ckanext.files.chain", percent=_percent)
def chain(calls: list[Any], total: int | None = None) -> Any:
    """Run calls one after the other; each may go on in as many steps as it likes.

    The result of one is not passed to the next.

    :param calls: ``[prepare(dataset_id), publish(dataset_id)]``.
    :param total: how many there were, for the progress; found out by itself.
    """
    if not calls:
        return None
    total = max(total or 0, len(calls))
    first, *rest = calls
    done = total - len(calls)
    with sharing(100.0 * done / total, 100.0 * (done + 1) / total):
        result = deserialize_task(first).run_once()
    if isinstance(result, Call):
        return chain([result, *rest], total)
    return chain(rest, total) if rest else result
