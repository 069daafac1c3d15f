"""The actions of files.

Rows and bytes have no common commit. ``file_create`` first inserts the row, which reserves the
location, then stores the bytes, and then commits. :mod:`ckanext.files.filekeeper.removal` removes
the bytes of a row that is rolled back or deleted.

A refusal that CKAN 2.12 does not have makes sure that each location has one row at most:
``file_register`` accepts a location only as a scan of the storage returns it: neither ``./a`` nor
``b//a`` nor an absolute path. Another name for the location of a file would give its bytes a
second row, and deleting one of the two files would remove the bytes of both.
"""

from __future__ import annotations

import posixpath
from typing import Any

import ckan.plugins.toolkit as tk
import sqlalchemy as sa
from ckan import model
from ckan.lib.munge import munge_filename
from ckan.types import Context

from ckanext.files.filekeeper.removal import (
    remove_unless_committed,
    remove_when_committed,
    reserve,
)

from . import schema
from .model import File, FileOwner, FileOwnerTransferHistory, find_file, lock_file
from .search import file_search
from .storage import Capability, FileData, exc, get_storage
from .tables import file_table

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
]


@tk.validate_action_data(schema.file_create)
def file_create(context: Context, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Upload a file.

    The storage decides where the file is kept, and whether its size and its
    type are accepted. The file belongs to the user who uploads it.

    By default only sysadmins may upload. ``ckan.files.authenticated_uploads.allow``
    lets all users do so, into ``ckan.files.authenticated_uploads.storages``.

    :param name: name that people see; by default the name of the uploaded file
    :type name: str, optional
    :param storage: storage that keeps the file, by default
        ``ckan.files.default_storages.default``
    :type storage: str, optional
    :param upload: content of the file
    :type upload: bytes, an open file or an uploaded one

    :returns: details of the file
    :rtype: dict
    """
    tk.check_access("file_create", context, data_dict)
    session = _session(context)
    storage = _storage(data_dict["storage"], Capability.CREATE)
    upload = data_dict["upload"]
    name = data_dict.get("name") or upload.filename
    if not name:
        message = "Name is missing and cannot be deduced from upload"
        raise tk.ValidationError({"upload": [message]})
    name = munge_filename(name)
    location = storage.prepare_location(name, upload)
    # an error of the caller's own pending changes must not look like one of the file
    session.flush()
    id_ = session.execute(reserve(file_table, data_dict["storage"], location)).scalar()
    if id_ is None:
        raise tk.ValidationError({"upload": ["File already exists"]})
    try:
        data = storage.upload(location, upload, ckan_api=data_dict.get("__extras", {}))
        remove_unless_committed(session, file_table, data_dict["storage"], storage, data)
    except BaseException as error:
        # no savepoint: CKAN treats the release of one as a commit, and indexes datasets
        session.execute(sa.delete(file_table).where(file_table.c.id == id_))
        if isinstance(error, (exc.UploadError, exc.ExistingFileError)):
            raise tk.ValidationError({"upload": [str(error)]}) from error
        raise
    return _finish(context, id_, name, data)


@tk.validate_action_data(schema.file_register)
def file_register(context: Context, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Make a file of bytes that are in a storage already.

    :param location: location of the bytes in the storage
    :type location: str
    :param storage: the storage, by default ``ckan.files.default_storages.default``
    :type storage: str, optional

    :returns: details of the file
    :rtype: dict
    """
    tk.check_access("file_register", context, data_dict)
    session = _session(context)
    storage = _storage(data_dict["storage"], Capability.ANALYZE)
    location = data_dict["location"]
    taken = tk.ValidationError({"location": ["File is already registered"]})
    if session.execute(File.by_location(location, data_dict["storage"])).first():
        raise taken
    try:
        _refuse_other_names(storage, location)
        data = storage.analyze(location)
    except exc.MissingFileError as error:
        raise tk.ObjectNotFound("file not found at location") from error
    except (exc.LocationError, IsADirectoryError, NotADirectoryError) as error:
        raise tk.ValidationError({"location": [str(error)]}) from error
    id_ = session.execute(reserve(file_table, data_dict["storage"], location)).scalar()
    if id_ is None:
        raise taken
    return _finish(context, id_, munge_filename(data.location), data)


@tk.validate_action_data(schema.one_file)
def file_delete(context: Context, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Delete a file.

    Its content is removed right after the commit.

    :param id: id of the file
    :type id: str

    :returns: details of the file that was deleted
    :rtype: dict
    """
    tk.check_access("file_delete", context, data_dict)
    file = _locked(context, data_dict, "file id not found")
    session, data, storage = _session(context), FileData.from_object(file), _storage(file.storage)
    if not storage.supports(Capability.REMOVE) and _may_exist(storage, data):
        raise tk.ValidationError({"storage": ["Operation is not supported"]})
    result = _shown(context, file)
    session.delete(file)
    session.flush()
    remove_when_committed(session, file_table, file.storage, storage, data)
    _commit(context)
    return result


@tk.side_effect_free
@tk.validate_action_data(schema.one_file)
def file_show(context: Context, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Return the details of a file; its content is at ``/file/download/ID``.

    :param id: id of the file
    :type id: str

    :returns: details of the file
    :rtype: dict
    """
    tk.check_access("file_show", context, data_dict)
    return _shown(context, _file(context, data_dict))


@tk.validate_action_data(schema.file_rename)
def file_rename(context: Context, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Change the name of a file that people see; its location in the storage stays.

    :param id: id of the file
    :type id: str
    :param name: new name
    :type name: str

    :returns: details of the file
    :rtype: dict
    """
    tk.check_access("file_rename", context, data_dict)
    file = _locked(context, data_dict)
    file.name = munge_filename(data_dict["name"])
    return _saved(context, file)


@tk.validate_action_data(schema.one_file)
def file_pin(context: Context, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Pin a file to its owner: only a transfer with ``force`` moves it away.

    :param id: id of the file
    :type id: str

    :returns: details of the file
    :rtype: dict
    """
    tk.check_access("file_pin", context, data_dict)
    file = _locked(context, data_dict)
    if file.owner is None:
        raise tk.ValidationError({"id": ["File has no owner"]})
    file.owner.pinned = True
    return _saved(context, file)


@tk.validate_action_data(schema.one_file)
def file_unpin(context: Context, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Unpin a file, so that it can be transferred again.

    :param id: id of the file
    :type id: str

    :returns: details of the file
    :rtype: dict
    """
    tk.check_access("file_unpin", context, data_dict)
    file = _locked(context, data_dict)
    if file.owner is not None:
        file.owner.pinned = False
    return _saved(context, file)


@tk.validate_action_data(schema.file_ownership_transfer)
def file_ownership_transfer(context: Context, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Give a file to another owner.

    A user who may see, change or delete the owner may then do so with the file,
    where ``ckan.files.owner.cascade_access`` names the owner's type.

    ``files_transfer_ownership`` of this extension also accepts names, and
    checks that the owner exists.

    :param id: id of the file
    :type id: str
    :param owner_id: id of the new owner
    :type owner_id: str
    :param owner_type: type of the new owner
    :type owner_type: str
    :param force: transfer the file even if it is pinned. Default: `False`
    :type force: bool
    :param pin: pin the file to the new owner. Default: `False`
    :type pin: bool

    :returns: details of the file
    :rtype: dict
    """
    tk.check_access("file_ownership_transfer", context, data_dict)
    file, session = _locked(context, data_dict), _session(context)
    new = {name: data_dict[name] for name in ("owner_type", "owner_id")}
    if file.owner is None:
        file.owner = FileOwner(file_id=file.id, **new)
    elif file.owner.pinned and not data_dict["force"]:
        raise tk.ValidationError({"force": ["Must be enabled to transfer pinned files"]})
    elif new != {name: getattr(file.owner, name) for name in new}:
        session.add(FileOwnerTransferHistory.from_owner(file.owner, context.get("user", "")))
        file.owner.owner_type, file.owner.owner_id = new["owner_type"], new["owner_id"]
    file.owner.pinned = data_dict["pin"]
    return _saved(context, file)


@tk.side_effect_free
@tk.validate_action_data(schema.file_owner_scan)
def file_owner_scan(context: Context, data_dict: dict[str, Any]) -> dict[str, Any]:
    """List the files of an owner.

    :param owner_id: id of the owner; by default the id of the user who calls
    :type owner_id: str, optional
    :param owner_type: type of the owner. Default: ``user``
    :type owner_type: str, optional
    :param start: how many files to leave out. Default: ``0``
    :type start: int, optional
    :param rows: how many files to return. Default: ``10``
    :type rows: int, optional
    :param sort: field by which they are sorted, or a list of fields and of
        pairs such as ``["size", "desc"]``. Default: ``name``
    :type sort: str or list, optional

    :returns: ``count``, the number of all files, and ``results``
    :rtype: dict
    """
    if not data_dict["owner_id"] and data_dict["owner_type"] == "user":
        user = context.get("auth_user_obj") or model.User.get(context.get("user"))
        data_dict["owner_id"] = user.id if isinstance(user, model.User) else ""
    tk.check_access("file_owner_scan", context, data_dict)
    owner = {name: data_dict.pop(name) for name in ("owner_id", "owner_type")}
    return file_search(context, {**data_dict, "filters": owner})


def _session(context: Context) -> Any:
    return context.get("session") or model.Session


def _file(context: Context, data_dict: dict[str, Any], message: str = "file") -> Any:
    file = find_file(_session(context), data_dict["id"])
    if file is None:
        raise tk.ObjectNotFound(message)
    return file


def _locked(context: Context, data_dict: dict[str, Any], message: str = "file") -> Any:
    """Return a file; other transactions cannot change or delete it before the commit."""
    file = lock_file(_session(context), data_dict["id"])
    if file is None:
        raise tk.ObjectNotFound(message)
    return file


def _storage(name: str, needed: Capability = Capability.NONE) -> Any:
    try:
        storage = get_storage(name)
    except exc.UnknownStorageError as error:
        raise tk.ValidationError({"storage": [str(error)]}) from error
    if not storage.supports(needed):
        raise tk.ValidationError({"storage": ["Operation is not supported"]})
    return storage


def _may_exist(storage: Any, data: FileData) -> bool:
    return not storage.supports(Capability.EXISTS) or storage.exists(data)


def _refuse_other_names(storage: Any, location: str) -> None:
    """Raise LocationError for a location that a scan of the storage returns by another name."""
    if location.startswith("/") or location == "." or posixpath.normpath(location) != location:
        raise exc.LocationError(storage, location)


def _finish(context: Context, id_: str, name: str, data: FileData) -> dict[str, Any]:
    """Complete the row of a file whose bytes are stored; its owner is the user."""
    file = _session(context).get(File, id_)
    for field, value in {**data.as_dict(), "name": name}.items():
        setattr(file, field, value)
    if user := context.get("auth_user_obj"):
        file.owner = FileOwner(file_id=file.id, owner_id=user.id, owner_type="user")
    return _saved(context, file)


def _saved(context: Context, file: File) -> dict[str, Any]:
    _session(context).flush()
    result = _shown(context, file)
    _commit(context)
    return result


def _commit(context: Context) -> None:
    if not context.get("defer_commit"):
        _session(context).commit()


def _shown(context: Context, file: File) -> dict[str, Any]:
    return file.dictize(bool(context.get("include_plugin_data")))
