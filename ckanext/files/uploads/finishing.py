"""Make the file of an upload whose bytes are all there.

The action ``file_create`` makes it, with all that plugins have chained to it, and in its commit the
upload becomes finished. Until that commit the bytes stay where they are: if it fails, or if the
process is killed, the client asks again and the same bytes become the file. What the storage has by
then of a file that is not committed is at the location that the row of the upload names, and is
taken for the next attempt or removed with the upload.

Storages of CKAN 2.12's own (``ckan:fs``) know no such location, and copy the bytes; so do storages
on another file system than the spool. A kill in that time leaves a stray, as the kill of any upload
does. A storage that gets a copy at the location of the row, and overwrites nothing, refuses the
next attempt, and the copy is removed with the upload.
"""

from __future__ import annotations

import io
from contextlib import suppress
from typing import Any

import ckan.plugins.toolkit as tk
import file_keeper as fk
from ckan import model
from sqlalchemy.exc import InvalidRequestError

from ckanext.files.errors import FileBusyError
from ckanext.files.transaction import Block

from .errors import FileRefusedError, FileWaitsError, UploadForbiddenError, UploadGoneError
from .sinks import sink_for
from .table import UploadRow, find_upload, lock_upload, transaction, update_upload


def make_file(upload: UploadRow) -> str:
    """Make the file of an upload; return its id, also if another request has made it before.

    :raises UploadRefusedError: the file is refused, the bytes are lost, or another request makes
        the file at this moment.
    """
    try:
        if not upload.size:
            return _create(upload, fk.Upload(io.BytesIO(), upload.name, 0, upload.content_type))
        with sink_for(upload).as_upload() as content:
            return _create(upload, content)
    except UploadGoneError:
        # two requests may have the last bytes. The one that makes the file removes them from the
        # spool, and the other one does not find them there: they are not lost, they are the file
        with transaction() as connection:
            file_id = find_upload(connection, upload.id).file_id
        if file_id:
            return file_id
        raise


def _create(upload: UploadRow, content: fk.Upload) -> str:
    data = {"name": upload.name, "storage": upload.storage, "upload": content}
    try:
        with Block(eager=True):
            current = lock_upload(model.Session, upload.id)
            if current.file_id:
                return current.file_id
            user = _user_again()
            context: Any = {"user": user.name, "auth_user_obj": user, "defer_commit": True}
            file_id = tk.get_action("file_create")(context, data)["id"]
            finished = {"offset": upload.size, "file_id": file_id, "parts": {}}
            update_upload(model.Session, upload.id, **finished, writer="")
            model.Session.commit()
    except io.UnsupportedOperation as error:  # a plugin reads them, or has chosen another storage
        raise FileRefusedError({"storage": [str(error)]}) from error
    except FileBusyError as error:
        raise FileWaitsError(error.error_dict) from error
    except tk.ValidationError as error:
        raise FileRefusedError(error.error_dict) from error
    except tk.NotAuthorized as error:
        raise UploadForbiddenError(str(error)) from error
    finally:
        model.Session.remove()
    return file_id


def _user_again() -> Any:
    """Return the user as the database has it now: the bytes may have taken hours.

    It is the object that CKAN asks whether the user is a sysadmin.

    :raises UploadForbiddenError: the user has been deleted meanwhile.
    """
    proxy: Any = tk.current_user
    user = proxy._get_current_object()  # noqa: SLF001 - each proxy of Flask has it
    with suppress(InvalidRequestError):  # purged
        model.Session.add(user)
        model.Session.refresh(user)
        if user.is_active:
            return user
    raise UploadForbiddenError(tk._("Your account is not active any more, ask a sysadmin"))
