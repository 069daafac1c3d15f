"""The actions of this extension, and the actions of CKAN that it chains."""

from __future__ import annotations

from typing import Any

from ckan import model
from ckan.lib.munge import munge_filename
from ckan.logic.action import delete
from ckan.plugins import toolkit as tk
from ckan.types import Action, Context

from ckanext.files import capabilities
from ckanext.files.chained import chain_core_action
from ckanext.files.ownership import (
    Actor,
    Refusal,
    TransferRefusedError,
    errors_on_fields,
    find_owner,
    lock_owner,
    transfer,
)
from ckanext.files.store import (
    CannotRemoveError,
    Owner,
    OwnerChange,
    actions,
    delete_file,
    file_dict,
    is_configured,
    lock_file,
    set_title,
    storage_name,
)
from ckanext.files.store.storages import exc
from ckanext.files.transaction import current_block

from . import schema
from .files_search import files_search
from .locations import lock_known_location, lock_new_location
from .titles import files_title_update
from .uploads import files_upload_list

__all__ = [
    "file_create",
    "file_delete",
    "file_register",
    "files_search",
    "files_title_update",
    "files_transfer_ownership",
    "files_upload_list",
    "resource_delete",
]


def _file_create(next_action: Action, context: Context, data_dict: dict[str, Any]) -> Any:
    name: Any = data_dict.get("name") or getattr(data_dict.get("upload"), "filename", None)
    if not schema.is_title(name) or munge_filename(name) == name:
        return _create(next_action, context, data_dict)
    session: Any = context.get("session") or model.Session
    file_id = _create(next_action, Context({**context, "defer_commit": True}), data_dict)["id"]
    set_title(session, file_id, name.strip())
    with_plugin_data = bool(context.get("include_plugin_data"))
    file = file_dict(session, file_id, include_plugin_data=with_plugin_data)
    if not context.get("defer_commit"):
        session.commit()
    return file


def _create(next_action: Action, context: Context, data_dict: dict[str, Any]) -> Any:
    try:
        return next_action(context, lock_new_location(context, data_dict))
    except tk.ValidationError as error:
        if isinstance(error.__cause__, exc.ExistingFileError):
            # a stray, or bytes of a deleted file, which are removed after its commit
            message = tk._(
                "The storage has something of this name that belongs to no file. Try again, or "
                "choose another name."
            )
            raise tk.ValidationError({"upload": [message]}) from error
        storage = storage_name(data_dict.get("storage"))
        is_name = isinstance(storage, str)
        if is_name and "storage" in error.error_dict and not is_configured(storage):
            option = f"ckan.files.storage.{storage}.type"
            sentence = tk._("The storage {storage} is not configured: there is no option {option}")
            message = sentence.format(storage=storage, option=option)
            raise tk.ValidationError({**error.error_dict, "storage": [message]}) from error
        raise


file_create = chain_core_action(actions.file_create, _file_create)
"""CKAN's action, with an error that names the option that is missing. A name that CKAN munges, such
as ``Budget 2026.pdf``, stays the title of the file. Of two files for one location, one is refused
before its bytes are stored."""


def _file_register(next_action: Action, context: Context, data_dict: dict[str, Any]) -> Any:
    lock_known_location(context, data_dict)
    return next_action(context, data_dict)


file_register = chain_core_action(actions.actions["file_register"], _file_register)
"""CKAN's action, for bytes that no other transaction replaces or removes meanwhile."""


def _file_delete(next_action: Action, context: Context, data_dict: dict[str, Any]) -> Any:
    id_ = data_dict.get("id")
    if not capabilities.DELETION_IS_HASTY or not id_ or not isinstance(id_, str):
        return next_action(context, data_dict)
    tk.check_access("file_delete", context, data_dict)
    session: Any = context.get("session") or model.Session
    with_plugin_data = bool(context.get("include_plugin_data"))
    try:
        if current_block() is None and not context.get("defer_commit"):
            lock_file(session, id_)
            return next_action(context, data_dict)
        deleted = delete_file(session, id_, include_plugin_data=with_plugin_data)
    except (CannotRemoveError, exc.UnknownStorageError) as error:
        raise tk.ValidationError({"storage": [str(error)]}) from error
    if deleted is None:
        raise tk.ObjectNotFound("file id not found")
    if not context.get("defer_commit"):
        session.commit()
    return deleted


file_delete = chain_core_action(actions.file_delete, _file_delete)
"""CKAN's action. Where another action makes the commit, the bytes are removed after it: that
action may fail yet. Of two requests that delete a file at once, the second one removes nothing.
Transactions that delete several files each must do so in one order, such as by id: PostgreSQL ends
one of two that wait for each other."""


def _resource_delete(next_action: Action, context: Context, data_dict: dict[str, Any]) -> Any:
    try:
        return next_action(context, data_dict)
    except (KeyError, IndexError, tk.ValidationError) as error:
        cause = error.__context__
        if isinstance(cause, tk.ValidationError):
            raise cause from None
        raise


resource_delete = chain_core_action(delete.resource_delete, _resource_delete)
"""CKAN's action, with the errors of the dataset's other fields. CKAN looks for them among the
errors of the last resource, and fails with a KeyError."""


@tk.validate_action_data(schema.transfer_ownership)
def files_transfer_ownership(context: Context, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Give a file to a new owner.

    A user who may see, change or delete the owner may then do so with the file:
    the file of a private dataset is private, the file of a public one can be
    downloaded by all visitors. See :ref:`ckan.files.owner.cascade_access`.

    The caller needs the right to update the new owner and the right to edit
    the file. Within one dataset (the dataset itself and its resources) files
    move freely, and a file that is where it should be already is no error.
    Otherwise a pinned file moves only with ``force``, which needs the right to
    edit the file.

    Unlike ``file_ownership_transfer`` of CKAN it accepts names, checks that
    the new owner exists, and answers in the same words whether a file does not
    exist or is not for the caller to use.

    It commits, unless it is called with ``defer_commit`` or within an action
    that carries a task queue: there the file gets its new owner in the one
    commit of that action.

    For example, a file that was uploaded by a user becomes part of a dataset
    and stays there::

        tk.get_action("files_transfer_ownership")(
            {"user": "editor"},
            {
                "id": "4f7c6a1c-…",
                "owner_type": "package",
                "owner_id": "annual-report",
                "pin": True,
            },
        )

    :param id: id of the file
    :type id: str
    :param owner_type: type of the new owner: ``package``, ``resource``,
        ``group``, ``organization``, ``user`` or a type of a plugin's own
    :type owner_type: str
    :param owner_id: id or name of the new owner
    :type owner_id: str
    :param force: move the file even if it is pinned, and unpin it unless
        ``pin`` is set. Default: `False`
    :type force: bool
    :param pin: pin the file to the new owner, so that it does not move
        without ``force``. Default: `False`
    :type pin: bool

    In a queued task, an error is put on the field that names the file.

    :returns: details of the file
    :rtype: dict
    """
    session: Any = context.get("session") or model.Session
    with errors_on_fields(data_dict["id"], context.get("user", "")):
        tk.check_access("files_transfer_ownership", context, data_dict)
        owner = find_owner(session, data_dict["owner_type"], data_dict["owner_id"])
        if owner is None or not lock_owner(session, owner):
            raise tk.ValidationError({"owner_id": [tk._("Does not exist")]})
        _transfer(session, context, data_dict, owner)
    with_plugin_data = bool(context.get("include_plugin_data"))
    # before the commit: then another transaction may delete the file
    result = file_dict(session, data_dict["id"], include_plugin_data=with_plugin_data)
    if not context.get("defer_commit"):
        session.commit()
    return result


def _transfer(session: Any, context: Context, data_dict: dict[str, Any], owner: Owner) -> None:
    actor, change = Actor(context), OwnerChange(owner, data_dict["pin"])
    try:
        transfer(
            session,
            [data_dict["id"]],
            change,
            actor.name,
            may_edit=actor.may_edit,
            force=data_dict["force"],
        )
    except TransferRefusedError as error:
        if not context.get("defer_commit"):
            session.rollback()  # releases the lock of the owner
        if Refusal.PINNED in error.refusals.values():
            raise tk.ValidationError({"force": [str(error)]}) from error
        raise tk.NotAuthorized(str(error)) from error
