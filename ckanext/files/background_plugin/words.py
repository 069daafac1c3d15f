"""The words for states, events and reasons to wait, the same on pages, in errors and commands.

The codes of states, such as ``todo``, are what programs get and send.
"""

from __future__ import annotations

from collections.abc import Callable
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


STATES = {
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


def state_word(status: str) -> StateWord:
    """Return the word for the state of a job, in the language of the request."""
    state = STATES[status]
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


def why_waiting(job: dict[str, Any], is_due: bool) -> str:
    """Return what a job waits for; an empty text if it runs or has ended."""
    if job["status"] not in LIVE or job["running"]:
        return tk._("Ends after its present step") if job["abort_requested"] else ""
    if job["paused"]:
        return tk._("Waits: its queue is paused")
    if job["status"] == "doing":
        return tk._("Waits for a worker to go on")
    if not is_due:
        return tk._("Waits for its time")
    is_stopped = job["locked"] or job["dependent"]
    return tk._("Waits for another job") if is_stopped else tk._("Waits for a worker")


def part_word(job: dict[str, Any]) -> str:
    """Return which part a chain is at, or has ended in; an empty text if all have succeeded."""
    parts = read_parts(job["parts"])
    if parts is None or parts.is_over:
        return ""
    sentence = tk._("Part {number} of {total}: {task}")
    return sentence.format(number=parts.number, total=parts.total, task=parts.name)
