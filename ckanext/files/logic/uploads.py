"""The action about uploads that are not complete."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
from ckan import model
from ckan.types import Context

from ckanext.files.ownership import Actor
from ckanext.files.uploads import read_metadata, unfinished_uploads

_SHOWN = ("id", "name", "size", "offset", "storage")


@tk.side_effect_free
def files_upload_list(context: Context, data_dict: dict[str, Any]) -> list[dict[str, Any]]:
    """List the user's own uploads that are not complete, the newest first.

    Each of them can be continued at ``/file/upload/ID``, by the protocol tus,
    until it expires. See :doc:`/recipes/uploads`.

    :returns: dictionaries with ``id``, ``name``, ``size``, ``offset`` (the number of bytes that
        have arrived), ``storage``, ``metadata`` (what the client has sent as ``Upload-Metadata``),
        ``created`` and ``expires``
    :rtype: list of dicts
    """
    tk.check_access("files_upload_list", context, data_dict)
    session: Any = context.get("session") or model.Session
    user = Actor(context).as_owner
    return [
        {
            **{name: getattr(upload, name) for name in _SHOWN},
            "metadata": read_metadata(upload.metadata),
            "created": upload.created.isoformat(),
            "expires": upload.expires.isoformat(),
        }
        for upload in (unfinished_uploads(session, user.id) if user else [])
    ]
