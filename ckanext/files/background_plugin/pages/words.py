"""The words for states, events and reasons to wait."""

from __future__ import annotations

from typing import Any, NamedTuple

import ckan.plugins.toolkit as tk

from ckanext.files.background.control import LIVE


class StateWord(NamedTuple):
    """A state as a page shows it."""

    word: str
    style: str
    """Classes of Bootstrap for a badge."""


def state_word(status: str) -> StateWord:
    """Return the word for the state of a job."""
    return {
        "todo": StateWord(tk._("waiting"), "bg-light text-dark border"),
        "doing": StateWord(tk._("running"), "bg-dark text-white"),
        "succeeded": StateWord(tk._("succeeded"), "bg-success text-white"),
        "failed": StateWord(tk._("failed"), "bg-danger text-white"),
        "cancelled": StateWord(tk._("cancelled"), "bg-secondary text-white"),
        "aborted": StateWord(tk._("aborted"), "bg-secondary text-white"),
    }[status]


def event_word(type_: str) -> str:
    """Return the words for an event in the history of a job."""
    words = {
        "deferred": tk._("requested"),
        "scheduled": tk._("scheduled for this time"),
        "started": tk._("started"),
        "deferred_for_retry": tk._("to be retried after a failure"),
        "retried": tk._("retry requested"),
        "abort_requested": tk._("cancellation requested"),
        "failed": tk._("failed"),
        "succeeded": tk._("succeeded"),
        "cancelled": tk._("cancelled"),
        "aborted": tk._("aborted"),
    }
    return words.get(type_, type_)


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
    return tk._("Waits for another job") if job["locked"] else tk._("Waits for a worker")
