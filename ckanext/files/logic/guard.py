"""The actions of files, with an error about an argument where CKAN 2.12.0 answers HTTP 500.

- Texts, counts and sort fields that PostgreSQL cannot hold are refused before the action runs.
- ``file_register`` refuses a location that is not in the storage.
- An owner type that no auth function knows gives the user no rights.
- A file that was deleted while an action changed it does not exist.
- A location that another transaction has taken without the lock of :mod:`.locations` is refused.
- A full or read-only disk is an error that names the storage; the log has the details.
"""

from __future__ import annotations

import errno
import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import file_keeper as fk
from ckan import authz, model
from ckan.plugins import toolkit as tk
from ckan.types import Action, Context
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm.exc import StaleDataError

from ckanext.files.chained import chain_core_action
from ckanext.files.parameters import all_storable
from ckanext.files.store import TABLES, File, actions, storage_name

log = logging.getLogger(__name__)

_MAX_COUNT = 2**63 - 1
"""The largest bigint of PostgreSQL."""

_FOREIGN_KEY_VIOLATION = "23503"
_UNIQUE_VIOLATION = "23505"
_LOCATION_INDEXES = frozenset(index.name for index in File.__table__.indexes if index.unique)
_DISK_ERRORS = frozenset(
    getattr(errno, name)
    for name in ("EACCES", "EDQUOT", "EFBIG", "EIO", "ENOSPC", "EPERM", "EROFS", "ESTALE")
)


class _Call(NamedTuple):
    action: str
    context: Context
    data_dict: dict[str, Any]

    @property
    def session(self) -> Any:
        return self.context.get("session") or model.Session


def guarded(ours: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given actions, and all actions of files with a guard.

    :param ours: actions of files, complete or chained to CKAN's, and others. Further actions of
        files are taken from CKAN.
    """
    found = {name: ours.get(name) or _passed_on(core) for name, core in actions.actions.items()}
    return {**ours, **{name: _guard(name, action) for name, action in found.items()}}


def _passed_on(core: Any) -> Any:
    def chained(next_action: Action, context: Context, data_dict: dict[str, Any]) -> Any:
        return next_action(context, data_dict)

    return chain_core_action(core, chained)


def _guard(name: str, action: Callable[..., Any]) -> Any:
    @functools.wraps(action)  # with its marks: it may be chained
    def guard(*arguments: Any) -> Any:
        context, data_dict = arguments[-2:]
        _refuse_odd_arguments(name, data_dict)
        call = _Call(name, context, dict(data_dict))  # actions change their dictionary
        try:
            return action(*arguments)
        except Exception as error:
            better_errors = (convert(call, error) for convert in _CONVERTERS)
            if better := next(filter(None, better_errors), None):
                raise better from error
            raise

    return guard


def _refuse_odd_arguments(action: str, data_dict: dict[str, Any]) -> None:
    message = tk._("Must be text without NUL and without half a surrogate pair")
    # CKAN munges names, and an upload is bytes
    values = [item for item in data_dict.items() if item[0] not in ("name", "upload")]
    errors: dict[str, Any] = {str(item[0]): [message] for item in values if not all_storable(item)}
    if action == "file_owner_scan":
        errors |= _paging_errors(data_dict)
    if data_dict.get("name") == []:  # no name for CKAN's validators, but one for its action
        errors["name"] = [tk._("Must be text")]
    if errors:
        raise tk.ValidationError(errors)


def _paging_errors(data_dict: dict[str, Any]) -> dict[str, Any]:
    number = tk._("Must be a whole number, neither negative nor too large")
    errors = {key: [number] for key in ("start", "rows") if not _is_count(data_dict.get(key))}
    if not _is_sort(data_dict.get("sort")):
        errors["sort"] = [tk._("Must be the name of a field, or a list of names and of pairs")]
    return errors


def _is_count(value: Any) -> bool:
    try:
        return 0 <= int(value) <= _MAX_COUNT
    except (TypeError, ValueError):
        return True  # CKAN's own validator reports it
    except OverflowError:
        return False


def _is_sort(value: Any) -> bool:
    if value is None or isinstance(value, str):
        return True
    return isinstance(value, list) and all(map(_is_sort_part, value))


def _is_sort_part(part: Any) -> bool:
    is_pair = isinstance(part, list) and all(isinstance(text, str) for text in part)
    return isinstance(part, str) or is_pair


def _gone(call: _Call, error: Exception) -> Exception | None:
    if not _has_no_row(error):
        return None
    call.session.rollback()
    return tk.ObjectNotFound("file")


def _has_no_row(error: Exception) -> bool:
    """Return whether a row of a file was deleted meanwhile, and not a row of another table."""
    if isinstance(error, StaleDataError):
        return any(f"'{table}'" in str(error) for table in TABLES)
    cause: Any = error.orig if isinstance(error, IntegrityError) else None
    if cause is None or cause.pgcode != _FOREIGN_KEY_VIOLATION:
        return False
    return cause.diag.table_name in TABLES


def _taken(call: _Call, error: Exception) -> Exception | None:
    cause: Any = error.orig if isinstance(error, IntegrityError) else None
    if cause is None or cause.pgcode != _UNIQUE_VIOLATION:
        return None
    if cause.diag.constraint_name not in _LOCATION_INDEXES:
        return None
    call.session.rollback()
    if call.action == "file_register":
        return tk.ValidationError({"location": ["File is already registered"]})
    return tk.ValidationError({"upload": ["File already exists"]})


def _misplaced(call: _Call, error: Exception) -> Exception | None:
    odd = (fk.exc.LocationError, IsADirectoryError, NotADirectoryError)
    if call.action != "file_register" or not isinstance(error, odd):
        return None
    return tk.ValidationError({"location": [tk._("Is no file of the storage")]})


def _failed_disk(call: _Call, error: Exception) -> Exception | None:
    if not isinstance(error, OSError) or error.errno not in _DISK_ERRORS:
        return None
    storage = storage_name(call.data_dict.get("storage"))
    if call.action == "file_delete":
        storage = call.session.get(File, call.data_dict["id"]).storage
    log.error("The storage %s failed in %s: %s", storage, call.action, error)
    sentence = tk._("The storage {storage} failed: {reason}")
    return tk.ValidationError(
        {"storage": [sentence.format(storage=storage, reason=error.strerror)]}
    )


def _unknown_type(call: _Call, error: Exception) -> Exception | None:
    type_ = call.data_dict.get("owner_type")
    # CKAN's message contains the name of the function in any language
    if not isinstance(error, ValueError) or f"{type_}_" not in str(error):
        return None
    permissions = {f"{type_}_{what}" for what in ("update", "file_transfer", "file_scan")}
    if not permissions.isdisjoint(authz.auth_functions_list()):
        return None
    return tk.NotAuthorized(tk._("Unknown type of owner"))


_CONVERTERS = (_gone, _taken, _misplaced, _failed_disk, _unknown_type)
