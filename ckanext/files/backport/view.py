"""The page ``/file/download/ID``."""

from __future__ import annotations

import ckan.plugins.toolkit as tk
from ckan.types import Response
from flask import Blueprint

from .storage import Storage
from .storages import FileData, exc, get_storage

blueprint = Blueprint("file", __name__)


@blueprint.route("/file/download/<id>")
def download(id: str) -> Response:  # noqa: A002 - CKAN's name for it
    """Send a file to those who may have it; for all others there is none."""
    try:
        tk.check_access("permission_download_file", {}, {"id": id})
        file = tk.get_action("file_show")({}, {"id": id})
        storage = get_storage(file["storage"])
    except (tk.ObjectNotFound, tk.NotAuthorized, exc.UnknownStorageError):
        return tk.abort(404)
    if not isinstance(storage, Storage):
        return tk.abort(422, "File is not downloadable")
    try:
        response = storage.as_response(FileData.from_dict(file), file["name"])
    except exc.UnsupportedOperationError:
        return tk.abort(422, "File is not downloadable")
    return tk.abort(response.status_code) if response.status_code >= 400 else response
