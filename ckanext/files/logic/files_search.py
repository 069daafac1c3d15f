"""The action that searches files."""

from __future__ import annotations

from typing import Any

from ckan import model
from ckan.plugins import toolkit as tk
from ckan.types import Context

from ckanext.files.ownership import Actor, find_owner
from ckanext.files.search import (
    ALL,
    Query,
    Scope,
    file_dicts,
    files_of,
    files_of_type,
    formats_in_use,
    search,
)
from ckanext.files.store import BEFORE_DOWNLOAD, FileAccess, Owner

from . import schema


@tk.side_effect_free
@tk.validate_action_data(schema.search)
def files_search(context: Context, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Search files.

    The files of an owner are for users who may list them with
    ``file_owner_scan``: users who may update the owner, unless the portal has
    other rules. Without an owner, the action searches the caller's own files,
    and for a user who may manage all files, such as a sysadmin, all of them.

    The files of a dataset include the files of its resources, also of resources
    that were removed. The files of an organization include the files of its
    datasets. The files of a group do not: the datasets of a group may belong
    to others.

    For example, the largest PDFs of an organization first::

        tk.get_action("files_search")(
            {"user": "editor"},
            {
                "owner_type": "organization",
                "owner_id": "weather-service",
                "format": "PDF",
                "sort": "size desc",
            },
        )

    :param q: words that the name or the title of a file has. The last one may
        be incomplete. Case and punctuation do not count
    :type q: str, optional
    :param owner_type: type of the owner: ``package``, ``resource``, ``group``,
        ``organization``, ``user`` or a type of a plugin's own. Without
        ``owner_id``: all owners of this type, for users who may manage all
        files, as sysadmins may
    :type owner_type: str, optional
    :param owner_id: id or name of the owner
    :type owner_id: str, optional
    :param storage: name of the storage
    :type storage: str, optional
    :param format: name of the format, such as ``CSV``, or a content type
    :type format: str, optional
    :param sort: ``name`` (of title, if there is one), ``created``, ``size`` or
        ``owner``, with ``asc`` or ``desc``. Default: ``created desc``
    :type sort: str, optional
    :param start: how many files to leave out. Default: ``0``
    :type start: int, optional
    :param rows: how many files to return, at most 1000. Default: ``20``
    :type rows: int, optional
    :param include_formats: whether to return the formats of the files of the
        owner, also of those that the other parameters leave out. Default:
        ``False``
    :type include_formats: bool, optional

    :returns: ``results``; ``count``, the number of all files, and
        ``count_is_exact``, which is false if there may be more: files are
        counted up to 10,000. Where plugins decide who sees each single file,
        dataset or resource, the search looks at the first 1,000 files only,
        and counts which of them the caller may see.
        Each file is a dictionary as ``file_show`` returns it,
        with ``title``, ``display_name`` (the title, else the name),
        ``format``, ``url`` of the download, and ``owner``: its ``type``,
        ``id``, ``name``, ``title``, ``url``, ``is_deleted`` and ``kind`` (the
        type of a dataset, group or organization), or None. With
        ``include_formats`` also ``formats``, their names: None where it would
        take too long to find them. That is without an owner (sysadmins), for
        one with more than 1,000 files or more than 1,000 datasets and
        resources, for more than 500 pairs of a suffix and a content type, and
        where such plugins decide
    :rtype: dict
    """
    tk.check_access("files_search", context, data_dict)
    session: Any = context.get("session") or model.Session
    access = FileAccess(BEFORE_DOWNLOAD, context)
    scope = _scope(context, data_dict)
    has_to_ask = access.decides_by_part if scope.has_parts else access.decides_by_file
    owned = scope.conditions(session)
    found = search(
        session,
        owned,
        Query(data_dict["q"], data_dict["storage"], data_dict["format"], data_dict["sort"]),
        data_dict["start"],
        data_dict["rows"],
        access.allows if has_to_ask else None,
    )
    with_plugin_data = bool(context.get("include_plugin_data"))
    answer = {
        "count": found.number,
        "count_is_exact": found.is_exact,
        "results": file_dicts(session, found.ids, include_plugin_data=with_plugin_data),
    }
    if data_dict["include_formats"]:
        answer["formats"] = None if has_to_ask else formats_in_use(session, owned)
    return answer


def _scope(context: Context, data_dict: dict[str, Any]) -> Scope:
    """Return where to search; the auth function has allowed it."""
    session: Any = context.get("session") or model.Session
    type_, id_ = data_dict["owner_type"], data_dict["owner_id"]
    if id_:
        # the files of an owner that was purged are for sysadmins
        return files_of(find_owner(session, type_, id_) or Owner(type_, id_))
    if type_:
        return files_of_type(type_)
    actor = Actor(context)
    if actor.may("permission_manage_files", {}):
        return ALL
    return files_of(actor.as_owner or Owner("user", ""))  # a visitor has no files
