"""The filters of ``list``, ``cancel`` and ``retry``: the same as on the pages of jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import click
from ckan import model

from ckanext.files.background.record import STATES
from ckanext.files.background_plugin.words import STATE_WORDS
from ckanext.files.cli.options import HintedChoice

from .completion import complete_queues, complete_tasks
from .names import check_queues, check_task


class StateChoice(HintedChoice):
    """States by the words that people read; a program may also give a code, such as ``todo``.

    :param codes: the states to choose from.
    """

    def __init__(self, codes: Iterable[str] = STATES) -> None:
        self._codes = {STATE_WORDS[code].word: code for code in codes}
        super().__init__(list(self._codes))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value in self._codes.values():
            return value
        return self._codes[super().convert(value, param, ctx)]


def _given(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Refuse a blank text: it may be an empty variable of a script, and not mean all jobs."""
    if value is None or value or context.resilient_parsing:
        return value
    raise click.BadParameter("It is blank")


def _queue(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if _given(context, parameter, value) and not context.resilient_parsing:
        check_queues([str(value)])
    return value


def _task(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if _given(context, parameter, value) and not context.resilient_parsing:
        check_task(str(value))
    return value


def _user_id(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Return the id of a user who is given by id or name."""
    if not _given(context, parameter, value) or context.resilient_parsing:
        return None
    user = model.User.get(value)
    if user is None:
        raise click.BadParameter(f"There is no user {value}")
    return user.id


_OPTIONS = (
    click.option(
        "--status",
        multiple=True,
        type=StateChoice(),
        help="Only jobs in this state; may be given several times.",
    ),
    click.option(
        "-q",
        "--queue",
        callback=_queue,
        shell_complete=complete_queues,
        help="Only jobs of this queue.",
    ),
    click.option(
        "--task",
        callback=_task,
        shell_complete=complete_tasks,
        help="Only jobs of the task of this name.",
    ),
    click.option(
        "--text",
        callback=_given,
        help="Only jobs with this text in task, arguments, progress or error.",
    ),
    click.option(
        "--user",
        "user_id",
        callback=_user_id,
        help="Only jobs that this user has asked for; name or id.",
    ),
)


def with_filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of filters, for its keyword arguments."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the filters of a search that a command was given."""
    filters = {name: value for name, value in options.items() if value}
    return {**filters, "status": list(filters["status"])} if "status" in filters else filters
