"""What the actions on jobs share: who asks, what a job looks like, errors of missing tables."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from ckan import authz, model
from ckan.plugins import toolkit as tk
from ckan.types import Context, Schema

from ckanext.files.background import NotInstalledError, record

from .words import error_words


@contextmanager
def explained() -> Iterator[None]:
    """Turn the error of missing tables, which names the command to run, into a validation error."""
    try:
        yield
    except NotInstalledError as error:
        raise tk.ValidationError({"message": [str(error)]}) from error


def validated(context: Context, data_dict: dict[str, Any], wanted: Schema) -> dict[str, Any]:
    """Return the values that a schema knows.

    :raises ValidationError: a value is invalid.
    """
    # CKAN's own key, for values that a schema does not know
    given = {name: value for name, value in data_dict.items() if name != "__junk"}
    data, errors = tk.navl_validate(given, wanted, context)
    if errors:
        raise tk.ValidationError(errors)
    return {name: data[name] for name in wanted if name in data}


def filters_of(context: Context, data: dict[str, Any]) -> dict[str, Any]:
    """Return the filters of a search among the jobs that the user may see."""
    filters = dict(data)
    user_id = own_id(context, filters.pop("user_id", None))
    return filters if user_id is None else {**filters, "user_id": user_id}


def own_id(context: Context, user: str | None = None) -> str | None:
    """Return the id of the user whose jobs are meant; None for all jobs.

    :param user: the id or name that the caller has given.
    """
    if not user:
        if sees_all(context):
            return None
        user = context.get("user", "")
    found = model.User.get(user)
    # an unknown user has no jobs
    return found.id if found else user


def sees_all(context: Context) -> bool:
    """Return whether the user sees the jobs of all users."""
    return bool(context.get("ignore_auth")) or authz.is_sysadmin(context.get("user"))


def commit(context: Context) -> None:
    """Commit, unless the caller does that."""
    if not context.get("defer_commit"):
        model.Session.commit()


def whole(context: Context, job: record.JobRecord) -> dict[str, Any]:
    """Return a job with its arguments and events."""
    events = [as_json(event) for event in record.history(job.id)]
    args = record.arguments(job.id)
    return {**dictized(context, job), "args": args, "events": events}


def dictized(context: Context, job: record.JobRecord) -> dict[str, Any]:
    """Return a job as the user may see it."""
    shown = as_json(job)
    if not sees_all(context):
        # they contain paths of the server, and SQL statements with their values
        shown["traceback"] = None
        shown["error"] = error_words(job.error)
    return shown


def as_json(row: Any, omitted: Collection[str] = ()) -> dict[str, Any]:
    """Return the fields of a dataclass, but those omitted, with times in UTC."""
    return {
        name: in_utc(value) if isinstance(value, dt.datetime) else value
        for name, value in dataclasses.asdict(row).items()
        if name not in omitted
    }


def in_utc(value: dt.datetime) -> str:
    """Return a time in ISO 8601."""
    return value.astimezone(dt.timezone.utc).isoformat()
