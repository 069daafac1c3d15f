"""The words for states, events and reasons to wait, on pages, in errors and commands.

The codes of states, such as ``todo``, are what programs get and send. Commands have their own words
for reasons to wait, which name the lock or the time.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import ckan.plugins.toolkit as tk

from ckanext.files.background.control import LIVE
from ckanext.files.background.error_line import words_of
from ckanext.files.background.parts import read_parts


class StateWord(NamedTuple):
    """A state as a page shows it."""

    word: str
    style: str
    """Classes of Bootstrap for a badge."""


def N_(text: str) -> str:  # noqa: N802 -- the name by which Babel finds texts
    """Mark a text that is translated where it is used."""
    return text


STATE_WORDS = {
    "todo": StateWord(N_("waiting"), "bg-light text-dark border"),
    "doing": StateWord(N_("running"), "bg-dark text-white"),
    "succeeded": StateWord(N_("succeeded"), "bg-success text-white"),
    "failed": StateWord(N_("failed"), "bg-danger text-white"),
    "cancelled": StateWord(N_("cancelled"), "bg-secondary text-white"),
    "aborted": StateWord(N_("aborted"), "bg-secondary text-white"),
}
"""Each state of a job, in English, as commands print it."""

EVENTS = {
    "deferred": N_("requested"),
    "scheduled": N_("requested for {time}"),
    "started": N_("started"),
    "deferred_for_retry": N_("failed, to be tried again at {time}"),
    "interrupted": N_("interrupted: lost with its worker, or undone by the database"),
    "retried": N_("retry requested"),
    "abort_requested": N_("cancellation requested"),
    "failed": N_("failed"),
    "succeeded": N_("succeeded"),
    "cancelled": N_("cancelled"),
    "aborted": N_("aborted"),
}
"""Each event in the history of a job, likewise; ``scheduled`` for a request with a time."""

WAIT_WORDS = {
    "queue": N_("Waits: its queue is paused"),
    "next step": N_("Waits for a worker to go on"),
    "time": N_("Waits for its time"),
    "jobs": N_("Waits for another job"),
    "lock": N_("Waits for another job"),
    "worker": N_("Waits for a worker"),
}
"""Each thing that a job may wait for, as pages show it."""


def state_word(status: str) -> StateWord:
    """Return the word for the state of a job, in the language of the request."""
    state = STATE_WORDS[status]
    return state._replace(word=tk._(state.word))


def event_word(type_: str, due: str, translate: Callable[[str], str] = tk._) -> str:
    """Return the words for an event in the history of a job.

    :param due: the time for which the event has put the job off; empty if it has not.
    """
    name = "scheduled" if due and type_ == "deferred" else type_
    return translate(EVENTS[name]).format(time=due) if name in EVENTS else name


def error_words(error: str | None) -> str | None:
    """Return what an error says to people who are no operators."""
    if not error:
        return error
    return words_of(error) or tk._("The task has failed without giving a reason")


def waits_for(job: Mapping[str, Any]) -> str | None:
    """Return the code of what a job waits for, one of :data:`WAIT_WORDS`.

    :param job: as the actions return it.
    :returns: None if it runs or has ended.
    """
    if job["status"] not in LIVE or job["running"]:
        return None
    if job["paused"]:
        return "queue"
    if job["status"] == "doing":
        return "next step"
    due = job["scheduled_at"]
    if due and dt.datetime.fromisoformat(due) > dt.datetime.now(dt.timezone.utc):
        return "time"
    if job["dependent"]:
        return "jobs"
    return "lock" if job["locked"] else "worker"


def wait_word(job: Mapping[str, Any]) -> str:
    """Return the words for what a job waits for, or that it ends soon; else an empty text."""
    code = waits_for(job)
    if code:
        return tk._(WAIT_WORDS[code])
    return tk._("Ends after its present step") if job["abort_requested"] else ""


def part_word(job: Mapping[str, Any], translate: Callable[[str], str] = tk._) -> str:
    """Return which part a chain is at, or has ended in; an empty text if all have succeeded."""
    parts = read_parts(job["parts"])
    if parts is None or parts.is_over:
        return ""
    sentence = translate(N_("Part {number} of {total}: {task}"))
    return sentence.format(number=parts.number, total=parts.total, task=parts.name)
