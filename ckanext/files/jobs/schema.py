"""Schemas of the actions."""

from __future__ import annotations

from typing import Any

from ckan.logic.schema import validator_args
from ckan.plugins import toolkit as tk
from ckan.types import Schema, Validator, ValidatorFactory

from ckanext.files.background.record import STATES

MOST = 1000
"""Jobs on a page."""

_BIGGEST = 2**63 - 1


def job_id(value: Any) -> int:
    """Validate the id of a job."""
    return _integer(value, 1, _BIGGEST, tk._("The id of a job is a number"))


def states(value: Any) -> list[str]:
    """Validate one state of jobs, or a list of them."""
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not set(map(str, found)) <= set(STATES):
        raise tk.Invalid(tk._("The states of a job are {states}").format(states=", ".join(STATES)))
    return found


def limit(value: Any) -> int:
    """Validate the length of a page."""
    return _integer(value, 0, MOST, tk._("A page has 0 to {most} jobs").format(most=MOST))


def offset(value: Any) -> int:
    """Validate the number of jobs that are skipped."""
    return _integer(value, 0, _BIGGEST, tk._("The number of jobs to skip is 0 or more"))


@validator_args
def job(not_empty: Validator) -> Schema:
    """Return the schema of actions on one job."""
    return {"id": [not_empty, job_id]}


@validator_args
def job_list(default: ValidatorFactory, ignore_empty: Validator, unicode_safe: Validator) -> Schema:
    """Return the schema of ``files_job_list``."""
    text: Any = [ignore_empty, unicode_safe]
    return {
        "status": [ignore_empty, states],
        "task": text,
        "queue": text,
        "task_id": text,
        "user_id": text,
        "limit": [default(20), limit],
        "offset": [default(0), offset],
    }


def _integer(value: Any, least: int, most: int, message: str) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise tk.Invalid(message) from None
    if isinstance(value, (bool, float)) or not least <= number <= most:
        raise tk.Invalid(message)
    return number
