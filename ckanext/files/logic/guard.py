"""The actions of files, with an error that says what is wrong where CKAN 2.12.0 has HTTP 500.

- Odd arguments are refused: see :mod:`.odd_arguments`.
- A location that is none of the storage is refused by ``file_register``.
- A type of owner that no auth function knows gets nobody any rights.
- A file that was deleted while it was to be changed does not exist.
- A disk that is full or may not be written is named by its storage; the log has the rest.
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
from ckanext.files.store import TABLES, File, actions

from .odd_arguments import refuse_odd

log = logging.getLogger(__name__)

_FOREIGN_KEY = "23503"  # PostgreSQL's code for a row that is not there
_OF_A_DISK = frozenset(
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
    """Return actions, with those of files guarded.

    :param ours: may have all of them, or such as are chained to CKAN's.
    """
    found = {name: ours.get(name) or _chained(core) for name, core in actions.actions.items()}
    return {**ours, **{name: _guard(name, action) for name, action in found.items()}}


def _chained(core: Any) -> Any:
    def chained(next_action: Action, context: Context, data_dict: dict[str, Any]) -> Any:
        return next_action(context, data_dict)

    return chain_core_action(core, chained)


def _guard(name: str, action: Callable[..., Any]) -> Any:
    @functools.wraps(action)  # with its marks: it may be chained
    def guard(*arguments: Any) -> Any:
        context, data_dict = arguments[-2:]
        refuse_odd(name, data_dict)
        call = _Call(name, context, dict(data_dict))  # actions change theirs
        try:
            return action(*arguments)
        except Exception as error:
            answers = (answer(call, error) for answer in _ANSWERS)
            if answer := next(filter(None, answers), None):
                raise answer from error
            raise

    return guard


def _gone(call: _Call, error: Exception) -> Exception | None:
    if not _has_no_row(error):
        return None
    call.session.rollback()
    return tk.ObjectNotFound("file")


def _has_no_row(error: Exception) -> bool:
    """Tell whether a row of a file was deleted meanwhile, and none of what else was written."""
    if isinstance(error, StaleDataError):
        return any(f"'{table}'" in str(error) for table in TABLES)
    cause: Any = error.orig if isinstance(error, IntegrityError) else None
    return cause is not None and (cause.pgcode == _FOREIGN_KEY and cause.diag.table_name in TABLES)


def _misplaced(call: _Call, error: Exception) -> Exception | None:
    odd = (fk.exc.LocationError, IsADirectoryError, NotADirectoryError)
    if call.action != "file_register" or not isinstance(error, odd):
        return None
    return tk.ValidationError({"location": [tk._("Is no file of the storage")]})


def _failed_disk(call: _Call, error: Exception) -> Exception | None:
    if not isinstance(error, OSError) or error.errno not in _OF_A_DISK:
        return None
    storage = call.data_dict.get("storage") or tk.config["ckan.files.default_storages.default"]
    if call.action == "file_delete":
        storage = call.session.get(File, call.data_dict["id"]).storage
    log.error("The storage %s failed in %s: %s", storage, call.action, error)
    sentence = tk._("The storage {storage} failed: {reason}")
    return tk.ValidationError(
        {"storage": [sentence.format(storage=storage, reason=error.strerror)]}
    )


def _unknown_type(call: _Call, error: Exception) -> Exception | None:
    type_ = call.data_dict.get("owner_type")
    # CKAN names the function in the error, in any language
    if not isinstance(error, ValueError) or f"{type_}_" not in str(error):
        return None
    permissions = {f"{type_}_{what}" for what in ("update", "file_transfer", "file_scan")}
    if not permissions.isdisjoint(authz.auth_functions_list()):
        return None
    return tk.NotAuthorized(tk._("Unknown type of owner"))


_ANSWERS = (_gone, _misplaced, _failed_disk, _unknown_type)
