"""The uploads of the user of the request."""

from __future__ import annotations

import ckan.plugins.toolkit as tk
from ckan import model

from ckanext.files.store import Owner, read_files

from . import checks
from .errors import UploadGoneError, UploadNotFoundError
from .removal import remove_upload
from .sinks import find_storage
from .table import UploadRow, find_upload


def find_own(id_: str) -> UploadRow:
    """Return an upload of the user, who may discard it whatever else has changed.

    :raises NotLoggedInError: the user has logged out meanwhile: the upload may still be there.
    :raises UploadNotFoundError: there is none, or it is another user's.
    """
    checks.check_login()
    upload = find_upload(model.Session, id_)
    if upload.user_id != tk.current_user.id:
        raise UploadNotFoundError
    if upload.has_expired:
        raise UploadGoneError(tk._("The upload has expired. Begin it again."))
    return upload


def find_usable(id_: str) -> UploadRow:
    """Return an upload that the user may continue, or whose file the user still owns.

    :raises UploadGoneError: the file is attached by now, or deleted: a client that has missed the
        end of the upload must not attach the same file once more.
    """
    upload = find_own(id_)
    if upload.file_id is None:
        checks.check_rights(upload.storage, upload.name)
        checks.check_size(find_storage(upload.storage), upload.size)
        return upload
    file = read_files(model.Session(), [upload.file_id]).get(upload.file_id)
    if file is None or file.owner != Owner("user", upload.user_id):
        raise UploadGoneError(
            tk._("The file of this upload was attached elsewhere or deleted. Upload it again.")
        )
    return upload


def discard_upload(id_: str) -> str:
    """Remove an upload of the user, who may have lost all rights to it; return its name.

    :raises UploadRefusedError: there is none, or its bytes cannot be removed now.
    """
    upload = find_own(id_)
    model.Session.remove()  # before a transaction of our own
    remove_upload(upload.id)
    return upload.name
