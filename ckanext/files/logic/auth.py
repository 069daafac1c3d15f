"""Auth functions.

CKAN takes ``X_update`` for the auth function of files whose owner is an ``X``. So no name here ends
with ``_update``.
"""

from __future__ import annotations

from typing import Any

from ckan import authz, model
from ckan.plugins import toolkit as tk
from ckan.types import AuthFunction, AuthResult, Context, DataDict

from ckanext.files import capabilities
from ckanext.files.error_texts import joined
from ckanext.files.ownership import (
    Actor,
    find_owner,
    is_id,
    is_name_only,
    is_owner_type,
    refusal_for,
    scope_of,
)
from ckanext.files.store import File, Owner, read_files, storage_name

__all__ = [
    "file_create",
    "file_owner_scan",
    "file_ownership_transfer",
    "files_search",
    "files_transfer_ownership",
    "files_upload_list",
    "permission_delete_file",
    "permission_edit_file",
    "permission_read_file",
]

_UPLOADS = "ckan.files.authenticated_uploads"


def files_transfer_ownership(context: Context, data_dict: dict[str, Any]) -> AuthResult:
    """Check if the user may give a file to an owner.

    The user needs the right to give files to that owner and, unless the file is
    within the same dataset already, the right to edit the file. For a file of
    another user the answer is the one for a file that does not exist.
    """
    session: Any = context.get("session") or model.Session
    file_id, type_, id_ = (data_dict.get(name) for name in ("id", "owner_type", "owner_id"))
    if not (is_id(file_id) and is_id(type_) and is_id(id_)):
        return {"success": False, "msg": tk._("id, owner_type and owner_id are needed")}

    actor = Actor(context)
    owner = find_owner(session, type_, id_)
    if owner is None or not _may_give_to(owner, actor):
        sentence = tk._("{owner} does not exist, or you are not allowed to give files to it")
        return {"success": False, "msg": sentence.format(owner=f"{type_} {id_}")}

    file = read_files(session, [file_id]).get(file_id)
    refusal = refusal_for(
        file, owner, scope_of(session, owner), actor.may_edit, force=bool(data_dict.get("force"))
    )
    if refusal:
        return {"success": False, "msg": refusal.message(file_id)}
    return {"success": True}


def _may_give_to(owner: Owner, actor: Actor) -> bool:
    if actor.may("permission_manage_files", {}):
        return True
    for plugin in capabilities.plugins_of_files():
        answer = plugin.files_owner_allows(actor.context, owner.type, owner.id, "file_transfer")
        if answer is not None:
            return answer
    as_update = tk.config["ckan.files.owner.transfer_as_update"]
    permission = f"{owner.type}_{'update' if as_update else 'file_transfer'}"
    known = is_owner_type(owner.type) and permission in authz.auth_functions_list()
    return known and actor.may(permission, {"id": owner.id})


def files_upload_list(context: Context, data_dict: DataDict | None) -> AuthResult:
    """A user who is logged in may list the user's own uploads."""
    return {"success": bool(context.get("user")), "msg": tk._("Log in to see your uploads")}


def files_search(context: Context, data_dict: dict[str, Any]) -> AuthResult:
    """Check if the user may search the files of an owner; without one all users may.

    The files of all owners of a type are for users who may manage all files.

    The answer for an owner that does not exist is the one for any other owner.
    """
    refused: AuthResult = {"success": False, "msg": tk._("Not allowed to list these files")}
    type_, id_ = data_dict.get("owner_type"), data_dict.get("owner_id")
    if not (type_ or id_):
        return {"success": True}
    if type_ and not id_:
        may_manage = Actor(context).may("permission_manage_files", {})
        return {"success": True} if may_manage else refused
    session: Any = context.get("session") or model.Session
    owner = find_owner(session, type_, id_) if is_id(type_) and is_id(id_) else None
    if owner is None:
        return refused
    try:
        data = {"owner_type": owner.type, "owner_id": owner.id}
        answer = authz.is_authorized("file_owner_scan", context, data)
    except ValueError:  # no auth function knows this type
        return refused
    return answer if answer.get("success") else refused


@tk.chained_auth_function
def file_create(
    next_auth: AuthFunction, context: Context, data_dict: DataDict | None
) -> AuthResult:
    """Check if the user may upload a file; the refusal names the option that forbids it."""
    data_dict = data_dict or {}
    result = next_auth(context, data_dict)
    if result.get("success") or not context.get("user"):
        return result
    storage = storage_name(data_dict.get("storage"))
    if not tk.config[f"{_UPLOADS}.allow"]:
        sentence = tk._("Uploads by users are switched off by the option {option}")
        return {"success": False, "msg": sentence.format(option=f"{_UPLOADS}.allow")}
    storages: list[str] = tk.config[f"{_UPLOADS}.storages"]
    if storage not in storages:
        option = f"{_UPLOADS}.storages"
        sentence = tk._("The option {option} does not let users upload into the storage {storage}")
        choice = tk._("Send one of these as storage: {storages}")
        sentences = [
            sentence.format(option=option, storage=storage),
            choice.format(storages=", ".join(storages)) if storages else "",
        ]
        return {"success": False, "msg": joined(sentences)}
    return result


@tk.chained_auth_function
def file_ownership_transfer(
    next_auth: AuthFunction, context: Context, data_dict: DataDict | None
) -> AuthResult:
    """Check if the user may transfer a file; the refusal does not reveal what exists.

    CKAN has different words, or HTTP 404, for a file or an owner that does not exist and for
    one that the user may not edit. Only a user who may edit a file learns that it is pinned.
    """
    data_dict = data_dict or {}
    result = _answered(next_auth, context, data_dict, "Not allowed to transfer ownership")
    file_id = data_dict.get("id")
    if result.get("success") or not is_id(file_id):
        return result
    session: Any = context.get("session") or model.Session
    file = read_files(session, [file_id]).get(file_id)
    if file and file.pinned and not data_dict.get("force") and Actor(context).may_edit(file):
        return result
    return {"success": False, "msg": "Not allowed to transfer ownership"}


@tk.chained_auth_function
@tk.auth_allow_anonymous_access
def file_owner_scan(
    next_auth: AuthFunction, context: Context, data_dict: DataDict | None
) -> AuthResult:
    """Check if the user may list an owner's files; a missing owner is refused like any other."""
    return _answered(next_auth, context, data_dict or {}, "Not allowed to list files")


@tk.chained_auth_function
def permission_edit_file(
    next_auth: AuthFunction, context: Context, data_dict: DataDict | None
) -> AuthResult:
    """Check if the user may edit a file; something named like its owner's id is not its owner."""
    return _by_id(next_auth, context, data_dict or {}, "Not allowed to edit file")


@tk.chained_auth_function
def permission_delete_file(
    next_auth: AuthFunction, context: Context, data_dict: DataDict | None
) -> AuthResult:
    """Check if the user may delete a file; something named like its owner's id is not its owner."""
    return _by_id(next_auth, context, data_dict or {}, "Not allowed to delete file")


@tk.chained_auth_function
@tk.auth_allow_anonymous_access
def permission_read_file(
    next_auth: AuthFunction, context: Context, data_dict: DataDict | None
) -> AuthResult:
    """Check if the user may see a file; something named like its owner's id is not its owner."""
    return _by_id(next_auth, context, data_dict or {}, "Not allowed to read file")


def _by_id(
    next_auth: AuthFunction, context: Context, data_dict: DataDict, refusal: str
) -> AuthResult:
    """:param refusal: CKAN's message for an owner that exists."""
    refused: AuthResult = {"success": False, "msg": refusal}
    try:
        result = next_auth(context, data_dict)
    except tk.ObjectNotFound:  # the owner is missing; a missing file is refused by CKAN
        return refused
    session: Any = context.get("session") or model.Session
    file: Any = session.get(File, data_dict["id"]) if result.get("success") else None
    owner = Owner(file.owner.owner_type, file.owner.owner_id) if file and file.owner else None
    if owner and _is_name_only(context, owner) and not _may(context, data_dict, "owns_file"):
        return refused
    return result


def _is_name_only(context: Context, owner: Owner) -> bool:
    session: Any = context.get("session") or model.Session
    return is_name_only(session, owner)


def _may(context: Context, data_dict: DataDict, what: str) -> bool:
    return authz.is_authorized_boolean(f"permission_{what}", context, data_dict)


def _answered(
    next_auth: AuthFunction, context: Context, data_dict: DataDict, refusal: str
) -> AuthResult:
    """:param refusal: CKAN's message for an owner that exists."""
    refused: AuthResult = {"success": False, "msg": refusal}
    type_, id_ = data_dict.get("owner_type"), data_dict.get("owner_id")
    try:
        result = next_auth(context, data_dict)
    except tk.ObjectNotFound:
        return refused
    except (KeyError, ValueError):
        if is_id(type_) and not is_owner_type(type_):
            return refused  # CKAN has asked an auth function for something else
        raise
    if not (result.get("success") and is_id(type_) and is_id(id_)):
        return result
    is_refused = _is_name_only(context, Owner(type_, id_))
    return refused if is_refused and not _may(context, data_dict, "manage_files") else result
