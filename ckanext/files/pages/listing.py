"""The pages of files: a user's own, the files of a dataset, organization or group, and all.

One view for all of them. A page lists the files that the action ``files_search`` returns, so that
the action decides who sees what. A visitor who may not see a page gets the same answer for one
that does not exist.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import ckan.plugins.toolkit as tk
from ckan import model
from ckan.lib.pagination import Page
from ckan.types import Response
from flask import Blueprint

from ckanext.files.csrf import protect
from ckanext.files.ownership import is_id
from ckanext.files.search import NEWEST_FIRST, fields_of_owners, parse_sort
from ckanext.files.store import Owner, known_formats
from ckanext.files.store.storages import storages
from ckanext.files.uploads import UploadRefusedError, discard_upload

from .refused import refused, to_login
from .uploading import UploadStorage, upload_all, upload_storages, visitors_uploads

blueprint = protect(Blueprint("files_pages", __name__))

ROWS = 20
"""Files on one page."""

OWNER_TYPES = ("package", "organization", "group", "user")
"""The owners that a page offers: for a filter, where resources count as datasets, and to give a
file to, by name. A resource has no name that is its own."""

_PARAMETERS = ("q", "format", "storage", "type", "sort")


@dataclasses.dataclass(frozen=True)
class Listing:
    """A page of files."""

    template: str
    url: Callable[..., str]
    """Returns the address of the page, with parameters for its query."""

    owner: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """The owner, as parameters of ``files_search``."""

    variables: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What CKAN's template around the page needs."""

    is_of_all: bool = False
    """The page has the files of all owners."""

    is_own: bool = False
    """The page has the files of the visitor only, and names no owner."""

    has_parts: bool = False
    """The page has the files of several owners that belong together: it can be sorted by them."""

    storages: tuple[UploadStorage, ...] = ()
    """The storages into which the visitor may upload here."""


@blueprint.route("/dashboard/files", methods=["GET", "POST"])
def own() -> Any:
    """Show the files of the user, and take uploads."""
    user: Any = tk.current_user
    if not user.is_authenticated:
        return to_login()
    if tk.request.method == "POST":
        return _upload()
    where, uploads = tuple(upload_storages()), visitors_uploads()
    variables = {
        "user_dict": tk.get_action("user_show")({}, {"id": user.id}),
        "unfinished": [upload for upload in uploads if where and upload["can_go_on"]],
        "stuck": [upload for upload in uploads if not (where and upload["can_go_on"])],
    }
    owner = {"owner_type": "user", "owner_id": user.id}
    return _show(
        Listing("own", _address("files_pages.own"), owner, variables, is_own=True, storages=where)
    )


@blueprint.route("/dashboard/files/discard/<id>", methods=["POST"])
def discard(id: str) -> Any:  # noqa: A002
    """Discard an upload of the user, also one that cannot go on."""
    if not tk.current_user.is_authenticated:
        return tk.redirect_to("files_pages.own")
    try:
        name = discard_upload(id)
    except UploadRefusedError as error:
        tk.h.flash_error(str(error))
    else:
        tk.h.flash_success(tk._("The upload of {name} is cancelled.").format(name=name))
    return tk.redirect_to("files_pages.own")


@blueprint.route("/dataset/files/<id>")
def dataset(id: str) -> Any:  # noqa: A002 - CKAN's name for it
    """Show the files of a dataset and its resources, to users who may update it."""
    if not is_id(id):
        return refused(is_list=True)
    try:
        tk.check_access("package_update", {}, {"id": id})
        pkg = tk.get_action("package_show")({"for_view": True}, {"id": id})
    except (tk.NotAuthorized, tk.ObjectNotFound):
        return refused(is_list=True)
    variables = {"pkg_dict": pkg, "pkg": pkg, "dataset_type": pkg["type"]}
    owner = {"owner_type": "package", "owner_id": pkg["id"]}
    address = _address("files_pages.dataset", id=pkg["name"])
    return _show(Listing("dataset", address, owner, variables, has_parts=True))


@blueprint.route("/organization/files/<id>")
def organization(id: str) -> Any:  # noqa: A002
    """Show the files of an organization and its datasets, to users who may update it."""
    return _of_group("organization", id)


@blueprint.route("/group/files/<id>")
def group(id: str) -> Any:  # noqa: A002
    """Show the files of a group, to users who may update it."""
    return _of_group("group", id)


def _of_group(kind: str, id_: str) -> Any:
    if not is_id(id_):
        return refused(is_list=True)
    data = {"id": id_, "include_datasets": False, "include_users": False}
    try:
        tk.check_access(f"{kind}_update", {}, {"id": id_})
        found = tk.get_action(f"{kind}_show")({"for_view": True}, data)
    except (tk.NotAuthorized, tk.ObjectNotFound):
        return refused(is_list=True)
    variables = {"group_dict": found, "group_type": found["type"]}
    owner = {"owner_type": kind, "owner_id": found["id"]}
    address = _address(f"files_pages.{kind}", id=found["name"])
    is_whole = kind == "organization"
    return _show(Listing(kind, address, owner, variables, has_parts=is_whole))


@blueprint.route("/ckan-admin/files")
def all_files() -> Any:
    """Show all files, to visitors who may manage all: sysadmins, unless the portal decides else."""
    try:
        tk.check_access("permission_manage_files", {}, {})
    except tk.NotAuthorized:
        return refused(is_list=True)
    type_ = tk.request.args.get("type", "")
    owner = {"owner_type": type_} if type_ in OWNER_TYPES else {}
    return _show(Listing("all", _address("files_pages.all_files"), owner, is_of_all=True))


def _show(listing: Listing) -> Any:
    args = {name: tk.request.args.get(name, "") for name in _PARAMETERS}
    args["sort"] = str(parse_sort(args["sort"]) or NEWEST_FIRST)
    page = tk.h.get_page_number(tk.request.args)
    asked = {name: args[name] for name in ("q", "format", "storage", "sort")}
    where = {"start": (page - 1) * ROWS, "rows": ROWS, "include_formats": True}
    data = {**listing.owner, **asked, **where}
    try:
        found = tk.get_action("files_search")({}, data)
    except tk.NotAuthorized:
        return refused(is_list=True)
    except tk.ValidationError:  # a text that PostgreSQL cannot hold, in an address made by hand
        return tk.abort(400)
    address = partial(listing.url, **{name: value for name, value in args.items() if value})
    last = -(-found["count"] // ROWS)
    if not found["results"] and 0 < last < page:  # its files were deleted or given away
        return tk.redirect_to(address(page=last))
    variables = {
        **listing.variables,
        "listing": listing,
        "files": with_fields(found["results"]),
        "found": found,
        "args": args,
        "is_filtered": any(args[name] for name in ("q", "format", "storage", "type")),
        "this_page": address(page=page) if page > 1 else address(),
        "sort_url": lambda by: address(sort=_turned(by, args["sort"])),
        "pager": _pager(found, page, address),
        "formats": _formats(found["formats"], args["format"]),
        "storages": sorted(storages) if listing.is_of_all else [],
    }
    return tk.render(f"files/pages/{listing.template}.html", variables)


def with_fields(files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add the names of the fields in which its owner names each file."""
    owned = {f["id"]: Owner(f["owner_type"], f["owner_id"]) for f in files if f["owner_type"]}
    fields = fields_of_owners(model.Session(), owned)
    return [{**file, "fields": fields.get(file["id"], [])} for file in files]


def _formats(in_use: list[str] | None, chosen: str) -> list[str]:
    """Return the formats that the filter offers: all that CKAN knows if those in use are unknown.

    The one that is chosen is among them: the form has to show it.
    """
    offered = known_formats() if in_use is None else in_use
    return sorted({*offered, chosen} - {""}, key=str.lower)


def _turned(by: str, sort: str) -> str:
    """Return the order for a click on the head of a column: upwards first, except for times."""
    first = "desc" if by in ("created", "size") else "asc"
    other = {"desc": "asc", "asc": "desc"}[first]
    return f"{by} {other if sort == f'{by} {first}' else first}"


def _pager(found: Mapping[str, Any], page: int, url: Callable[..., str]) -> Any:
    return Page(
        collection=found["results"],
        page=page,
        url=lambda page, **_: url(page=page),
        item_count=found["count"],
        items_per_page=ROWS,
        presliced_list=True,
    )


def _address(endpoint: str, **parameters: str) -> Callable[..., str]:
    return lambda **query: tk.url_for(endpoint, **parameters, **query)


def _upload() -> Response:
    upload_all(tk.request.files.getlist("upload"), tk.request.form.get("storage", ""))
    return tk.redirect_to("files_pages.own")
