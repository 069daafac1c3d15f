"""Schemas of the actions."""

from __future__ import annotations

from typing import Any

from ckan.logic.schema import validator_args
from ckan.plugins import toolkit as tk
from ckan.types import (
    Context,
    FlattenDataDict,
    FlattenErrorDict,
    FlattenKey,
    Schema,
    Validator,
    ValidatorFactory,
)

from ckanext.files.background.errors import BackgroundError
from ckanext.files.background.options import checked_key
from ckanext.files.background.record import STATES
from ckanext.files.parameters import as_bool

MAX_LIMIT = 1000
"""Jobs on a page."""

MOST_CHANGES = 10_000
"""Jobs that one call of an action changes, unless its caller wants another number."""

_MAX_ID = 2**63 - 1
_MAX_NAME = 200


def job_id(value: Any) -> int:
    """Validate the id of a job."""
    return _integer(value, 1, _MAX_ID, tk._("The id of a job must be a number"))


def number_or_rq_id(value: Any) -> int | str:
    """Validate the id of a job, or the one that ``toolkit.enqueue_job`` gave it."""
    if not isinstance(value, str) or value.strip().isdecimal():
        return job_id(value)
    try:
        return checked_key(value, "id of the job")
    except BackgroundError:
        raise tk.Invalid(tk._("Must be a short text without control characters")) from None


def job_ids(value: Any) -> list[int]:
    """Validate one id of a job, or a list of them."""
    found = value if isinstance(value, list) else [value]
    if len(found) > MAX_LIMIT:
        raise tk.Invalid(tk._("A list has up to {most} ids").format(most=MAX_LIMIT))
    return [job_id(each) for each in found]


def states(value: Any) -> list[str]:
    """Validate one state of jobs, or a list of them, by their codes."""
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not set(map(str, found)) <= set(STATES):
        sentence = tk._("Each state must be one of: {states}")
        raise tk.Invalid(sentence.format(states=", ".join(STATES)))
    return found


def name(value: Any) -> str:
    """Validate a name; PostgreSQL stores neither NUL nor half of a surrogate pair."""
    if not isinstance(value, str) or len(value) > _MAX_NAME or not value.isprintable():
        raise tk.Invalid(tk._("Must be a short text without control characters"))
    return value


def limit(value: Any) -> int:
    """Validate the length of a page."""
    sentence = tk._("The limit must be from 0 to {most}")
    return _integer(value, 0, MAX_LIMIT, sentence.format(most=MAX_LIMIT))


def offset(value: Any) -> int:
    """Validate the number of jobs before a page."""
    return _integer(value, 0, _MAX_ID, tk._("The number of jobs to skip is 0 or more"))


def most(value: Any) -> int:
    """Validate the number of jobs that an action changes."""
    return _integer(value, 1, _MAX_ID, tk._("The number of jobs must be 1 or more"))


@validator_args
def job(not_empty: Validator) -> Schema:
    """Return the schema of actions on one job."""
    return {"id": [not_empty, number_or_rq_id]}


@validator_args
def job_cancel(default: ValidatorFactory) -> Schema:
    """Return the schema of ``files_job_cancel``."""
    return {**job(), "now": [default(False), as_bool]}


def ignore_blank(
    key: FlattenKey, data: FlattenDataDict, errors: FlattenErrorDict, context: Context
) -> None:
    """Leave out a filter that a form has left blank; an empty list is no such filter."""
    value = data.get(key)
    if value is tk.missing or value is None or value == "":
        data.pop(key, None)
        raise tk.StopOnError


def refuse_blank(
    key: FlattenKey, data: FlattenDataDict, errors: FlattenErrorDict, context: Context
) -> None:
    """Refuse a filter that is there and blank: a change would reach all jobs without it."""
    if data.get(key) is not tk.missing:
        if data[key] not in (None, ""):
            return
        errors[key].append(tk._("Missing value"))
    data.pop(key)
    raise tk.StopOnError


def filters(blank: Validator = ignore_blank) -> Schema:
    """Return the schema of a search for jobs.

    :param blank: what becomes of a filter without a value.
    """
    return {
        "id": [blank, job_ids],
        "status": [blank, states],
        "task": [blank, name],
        "queue": [blank, name],
        "task_id": [blank, name],
        "user_id": [blank, name],
        "text": [blank, name],
        "before": [blank, job_id],
        "__junk": [_not_nested],
    }


@validator_args
def job_list(default: ValidatorFactory) -> Schema:
    """Return the schema of ``files_job_list``."""
    return {
        **filters(),
        "limit": [default(20), limit],
        "offset": [default(0), offset],
    }


@validator_args
def jobs_retry(default: ValidatorFactory) -> Schema:
    """Return the schema of ``files_jobs_retry``."""
    return {**filters(refuse_blank), "most": [default(MOST_CHANGES), most]}


@validator_args
def jobs_cancel(default: ValidatorFactory) -> Schema:
    """Return the schema of ``files_jobs_cancel``."""
    return {**jobs_retry(), "now": [default(False), as_bool]}


def of_user() -> Schema:
    """Return the schema of actions that count jobs."""
    return {"user_id": [ignore_blank, name]}


@validator_args
def queue(not_empty: Validator) -> Schema:
    """Return the schema of actions on one queue."""
    return {"queue": [not_empty, name]}


def _not_nested(
    key: FlattenKey, data: FlattenDataDict, errors: FlattenErrorDict, context: Context
) -> None:
    """Refuse lists of dictionaries. CKAN would leave out a filter with such a value."""
    for path in data.pop(key, {}):
        errors[path[:1]] = [tk._("Must be a short text without control characters")]


def _integer(value: Any, least: int, most: int, message: str) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):  # the last one for JSON's Infinity
        raise tk.Invalid(message) from None
    if isinstance(value, (bool, float)) or not least <= number <= most:
        raise tk.Invalid(message)
    return number
