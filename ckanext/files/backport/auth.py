"""Auth functions: who may do what with files."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
from ckan import authz, model
from ckan.types import AuthResult, Context, DataDict

from .model import find_file

__all__ = [
    "file_create",
    "file_delete",
    "file_owner_scan",
    "file_ownership_transfer",
    "file_pin",
    "file_register",
    "file_rename",
    "file_show",
    "file_unpin",
    "permission_delete_file",
    "permission_download_file",
    "permission_edit_file",
    "permission_manage_files",
    "permission_owns_file",
    "permission_read_file",
]

_OWNER = "ckan.files.owner"
_UPLOADS = "ckan.files.authenticated_uploads"


def permission_manage_files(context: Context, data_dict: DataDict) -> AuthResult:
    """Only sysadmins may do everything with all files, unless a plugin chains this function."""
    return {"success": False, "msg": "Not allowed to manage files"}


@tk.auth_allow_anonymous_access
def permission_owns_file(context: Context, data_dict: DataDict) -> AuthResult:
    """A user owns the files whose owner the user is."""
    file, user = _file(context, data_dict), _user(context)
    owner = file.owner if file else None
    return {
        "success": _may("permission_manage_files", context, data_dict)
        or bool(owner and user and (owner.owner_type, owner.owner_id) == ("user", user.id)),
        "msg": "Not an owner of the file",
    }


def permission_edit_file(context: Context, data_dict: DataDict) -> AuthResult:
    """A user who owns a file or may update its owner may edit it."""
    success = _may_as_owner(context, data_dict, "update")
    return {"success": success, "msg": "Not allowed to edit file"}


def permission_delete_file(context: Context, data_dict: DataDict) -> AuthResult:
    """A user who owns a file or may delete its owner may delete it."""
    success = _may_as_owner(context, data_dict, "delete")
    return {"success": success, "msg": "Not allowed to delete file"}


@tk.auth_allow_anonymous_access
def permission_read_file(context: Context, data_dict: DataDict) -> AuthResult:
    """A user who owns a file or may see its owner may see it."""
    success = _may_as_owner(context, data_dict, "show")
    return {"success": success, "msg": "Not allowed to read file"}


@tk.auth_allow_anonymous_access
def permission_download_file(context: Context, data_dict: DataDict) -> AuthResult:
    """A user who may see a file may download its content."""
    success = _may("permission_read_file", context, data_dict)
    return {"success": success, "msg": "Not allowed to read file"}


def file_create(context: Context, data_dict: DataDict) -> AuthResult:
    """A user may upload where the configuration allows it."""
    storages = tk.config[f"{_UPLOADS}.storages"]
    is_allowed = tk.config[f"{_UPLOADS}.allow"] and data_dict["storage"] in storages
    if context.get("user") and is_allowed:
        return {"success": True}
    return authz.is_authorized("permission_manage_files", context, data_dict)


def file_register(context: Context, data_dict: DataDict) -> AuthResult:
    """As ``permission_manage_files``."""
    return authz.is_authorized("permission_manage_files", context, data_dict)


def file_delete(context: Context, data_dict: DataDict) -> AuthResult:
    """As ``permission_delete_file``."""
    return authz.is_authorized("permission_delete_file", context, data_dict)


@tk.auth_allow_anonymous_access
def file_show(context: Context, data_dict: DataDict) -> AuthResult:
    """As ``permission_read_file``."""
    return authz.is_authorized("permission_read_file", context, data_dict)


def file_rename(context: Context, data_dict: DataDict) -> AuthResult:
    """As ``permission_edit_file``."""
    return authz.is_authorized("permission_edit_file", context, data_dict)


def file_pin(context: Context, data_dict: DataDict) -> AuthResult:
    """As ``permission_edit_file``."""
    return authz.is_authorized("permission_edit_file", context, data_dict)


def file_unpin(context: Context, data_dict: DataDict) -> AuthResult:
    """As ``permission_edit_file``."""
    return authz.is_authorized("permission_edit_file", context, data_dict)


def file_ownership_transfer(context: Context, data_dict: DataDict) -> AuthResult:
    """A user who may edit the file and may transfer files to the new owner may transfer it."""
    file = _file(context, data_dict)
    if file is None or (file.owner and file.owner.pinned and not data_dict["force"]):
        return {"success": False, "msg": "File is pinned"}
    success = _may("permission_manage_files", context, data_dict) or (
        _may("permission_edit_file", context, data_dict)
        and _owner_allows(context, data_dict, "file_transfer", "transfer_as_update")
    )
    return {"success": success, "msg": "Not allowed to transfer ownership"}


@tk.auth_allow_anonymous_access
def file_owner_scan(context: Context, data_dict: DataDict) -> AuthResult:
    """A user who may update the owner may list its files."""
    success = _may("permission_manage_files", context, data_dict) or _owner_allows(
        context, data_dict, "file_scan", "scan_as_update"
    )
    return {"success": success, "msg": "Not allowed to list files"}


def _may(permission: str, context: Context, data_dict: DataDict) -> bool:
    return authz.is_authorized_boolean(permission, context, data_dict)


def _may_as_owner(context: Context, data_dict: DataDict, operation: str) -> bool:
    """Return whether the user owns the file, or may do the operation with its owner."""
    if _may("permission_owns_file", context, data_dict):
        return True
    file = _file(context, data_dict)
    if file is None or file.owner is None:
        return False
    type_, cascade = file.owner.owner_type, tk.config[f"{_OWNER}.cascade_access"]
    # an owner's type without storages gives access to the files in all of them
    if type_ not in cascade or (cascade[type_] and file.storage not in cascade[type_]):
        return False
    function = f"{type_}_{operation}"
    # a page with many files must not fail at a file whose owner's type comes from an absent plugin
    known = function in authz.auth_functions_list()
    return known and _is_authorized(context, function, file.owner.owner_id)


def _owner_allows(context: Context, data_dict: DataDict, operation: str, as_update: str) -> bool:
    """Return whether the user may do the operation with all files of an owner."""
    if tk.config[f"{_OWNER}.{as_update}"]:
        operation = "update"
    return _is_authorized(context, f"{data_dict['owner_type']}_{operation}", data_dict["owner_id"])


def _is_authorized(context: Context, function: str, owner_id: str) -> bool:
    """Call the auth function of an owner's type.

    :raises ValueError: no plugin has the function. The actions turn that into a refusal.
    """
    answer = authz.is_authorized(function, tk.fresh_context(context), {"id": owner_id})
    return bool(answer.get("success"))


def _user(context: Context) -> Any:
    user = context.get("auth_user_obj")
    return user if isinstance(user, model.User) else model.User.get(context.get("user"))


def _file(context: Context, data_dict: DataDict) -> Any:
    session = context.get("session") or model.Session
    return find_file(session, data_dict["id"])
