"""Template helpers of the pages of jobs."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import ckan.plugins.toolkit as tk
from babel.numbers import format_percent
from ckan.lib.i18n import get_lang

from ckanext.files.background.control import LIVE
from ckanext.files.background.parts import Parts, is_chain
from ckanext.files.background.record import STATES

from .. import words

__all__ = [
    "files_job_argument",
    "files_job_event",
    "files_job_is_chain",
    "files_job_is_live",
    "files_job_part",
    "files_job_parts",
    "files_job_percent",
    "files_job_state",
    "files_job_states",
    "files_job_time",
    "files_job_waits",
    "files_jobs_chart",
    "files_jobs_polling",
]

_LONG = 300
"""Characters of an argument that is folded."""

_MOST = 20_000
"""Characters of an argument that a page shows."""

_SHORTEST, _LONGEST = 2, 60
"""Seconds between two polls of a page that is open."""

_PATIENCE = 30
"""Polls after which a page waits a second longer: it may be open for a day, and its jobs may wait
for weeks. The first hour has 400 polls, the whole day 2,300."""

_HEIGHT = 100
"""Of the chart, in its own units: a minute is 10 wide."""


class _Argument(NamedTuple):
    text: str
    is_long: bool
    is_cut: bool


class _Polling(NamedTuple):
    interval: int
    polls: int


class _Bar(NamedTuple):
    x: int
    succeeded: float
    """Height."""

    failed: float


class _Chart(NamedTuple):
    succeeded: int
    failed: int
    most: int
    """In one minute."""

    bars: list[_Bar]


def files_job_time(at: str | None) -> str:
    """Return a time of an action in the zone and the language of the site."""
    if not at:
        return ""
    # CKAN puts only times without a zone into the zone of the site
    naive = dt.datetime.fromisoformat(at).astimezone(dt.timezone.utc).replace(tzinfo=None)
    return tk.h.render_datetime(naive, with_hours=True, with_seconds=True)


def files_job_is_live(job: dict[str, Any]) -> bool:
    """Return whether a job may still change by itself."""
    return job["status"] in LIVE


def files_job_percent(percent: float) -> str:
    """Return a percentage in the language of the site."""
    return format_percent(percent / 100, locale=get_lang())


def files_job_states() -> Sequence[str]:
    """Return all states of jobs."""
    return STATES


def files_job_state(status: str) -> words.StateWord:
    """Return the ``word`` for a state, and the ``style`` of its badge."""
    return words.state_word(status)


def files_job_event(event: dict[str, Any]) -> str:
    """Return the words for an event."""
    return words.event_word(event["type"], files_job_time(event["due"]))


def files_job_is_chain(job: dict[str, Any]) -> bool:
    """Return whether a job began with its chain: its arguments are the calls."""
    return is_chain(job["task"], job["parts"])


def files_job_part(job: dict[str, Any]) -> str:
    """Return which part a job is at that is a chain; an empty text for other jobs."""
    return words.part_word(job)


def files_job_parts(job: dict[str, Any]) -> list[tuple[str, str | None]]:
    """Return each task of a chain with its state; None if it has not begun."""
    return Parts(**job["parts"]).states(job["status"])


def files_job_waits(job: dict[str, Any]) -> str:
    """Return what a job waits for, if it waits."""
    return words.wait_word(job)


def files_job_argument(value: Any) -> _Argument:
    """Return an argument of a job: its ``text``, if it ``is_long``, and if it ``is_cut``."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return _Argument(text[:_MOST], len(text) > _LONG, len(text) > _MOST)


def files_jobs_polling() -> _Polling:
    """Return the ``interval`` to the next poll of a page, in seconds, and the ``polls`` with it."""
    given = tk.request.args.get("polls", "")[:6]
    polls = int(given) if given.isascii() and given.isdigit() else 0
    return _Polling(min(_SHORTEST + polls // _PATIENCE, _LONGEST), polls + 1)


def files_jobs_chart(minutes: list[dict[str, Any]]) -> _Chart:
    """Return the bars of a chart of the jobs that ended."""
    most = max(each["succeeded"] + each["failed"] for each in minutes)
    unit = _HEIGHT / most if most else 0
    return _Chart(
        sum(each["succeeded"] for each in minutes),
        sum(each["failed"] for each in minutes),
        most,
        [
            _Bar(10 * n, round(each["succeeded"] * unit, 2), round(each["failed"] * unit, 2))
            for n, each in enumerate(minutes)
        ],
    )
