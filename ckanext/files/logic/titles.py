"""The action that changes the title of a file."""

from __future__ import annotations

from typing import Any

from ckan import model
from ckan.plugins import toolkit as tk
from ckan.types import Context

from ckanext.files.search import file_dicts
from ckanext.files.store import set_title

from . import schema


@tk.validate_action_data(schema.title_update)
def files_title_update(context: Context, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Change the title of a file, which people see instead of its name.

    CKAN reduces the name of a file to letters without accents, digits and a few
    signs. A title is any text. A download still has the name.

    The caller needs the right to edit the file, as for ``file_rename``.

    :param id: id of the file
    :type id: str
    :param title: new title, at most 500 characters; empty to remove it
    :type title: str

    :returns: details of the file, as ``files_search`` returns them
    :rtype: dict
    """
    tk.check_access("file_rename", context, data_dict)
    session: Any = context.get("session") or model.Session
    if not set_title(session, data_dict["id"], data_dict["title"]):
        raise tk.ObjectNotFound("file")
    if not context.get("defer_commit"):
        session.commit()
    with_plugin_data = bool(context.get("include_plugin_data"))
    [file] = file_dicts(session, [data_dict["id"]], include_plugin_data=with_plugin_data)
    return file
