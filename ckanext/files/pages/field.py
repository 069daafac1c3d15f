"""The attachment field of a form: what it shows, offers and accepts."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import ckan.plugins.toolkit as tk
from ckan import authz, model

from ckanext.files import form_request
from ckanext.files.ownership import find_owner, is_id
from ckanext.files.search import find_choices, format_of
from ckanext.files.store import Owner, is_configured, read_files
from ckanext.files.store.storages import get_storage

from .helpers import PageFile, files_attached, named_ids, visible_files
from .uploading import may_upload

__all__ = ["files_field", "files_size_patterns", "files_then", "files_times_left"]

CHOICES_AT_ONCE = 20
"""How many files a form offers at once."""

_SECONDS = (5, 10, 15, 20, 30, 45)
_MINUTES = (*range(1, 10), 10, 15, 20, 25, 30, 40, 50)
_HOURS = (1, 2, 3, 4, 6, 8, 12, 18, 24)


@dataclasses.dataclass(frozen=True)
class ChosenFile:
    """A file that the field names, or that was taken out of it in a form that comes back."""

    file: PageFile

    is_stored: bool
    """It belongs to what the form edits already: it needs a new place when it is taken out."""

    then: str = ""
    """What is to happen to it when it is taken out."""


@dataclasses.dataclass(frozen=True)
class Field:
    """The field as a template shows it."""

    chosen: list[ChosenFile]
    taken_out: list[ChosenFile]

    offered: list[PageFile]
    """The newest files that may be chosen, for browsers without JavaScript."""

    owners: list[Owner]
    """What the form edits."""

    storage: str | None
    """The storage of the uploads; None if the visitor may upload nothing here."""

    max_size: int | None
    """The size of the largest file that the storage accepts, in bytes; None if all sizes are."""

    then: str
    """What happens to a file that is taken out, unless the visitor decides otherwise."""

    types: list[str]
    """The content types that the storage accepts; empty if all are."""

    @property
    def type_names(self) -> list[str]:
        """What people call these types."""
        return list(dict.fromkeys(format_of("", type_) or type_ for type_ in self.types))

    unfinished: list[dict[str, Any]]
    """The visitor's uploads into the storage that can go on."""


def files_field(
    name: str,
    value: Any,
    owner_types: Collection[str] = (),
    owner: str | None = None,
    storage: str | None = None,
) -> Field:
    """Return what a field shows, offers and accepts.

    :param name: name of the field in the form.
    :param value: the ids that it names, also when the form comes back with an error.
    :param owner_types: what the form edits: ``package``, ``resource``, ``group``,
        ``organization`` or ``user``; several where the form does not know.
    :param owner: its id or name; empty when it does not exist yet.
    :param storage: of the uploads; by default the first one to which users upload.
    """
    owners = edited_owners(owner_types, owner)
    named, words = named_ids(value), form_request.taken_out(name)
    taken_out = {id_: then for id_, then in words.items() if is_id(id_)}
    refused = form_request.refusals(named)
    ids = [id_ for id_ in named if id_ not in refused]
    chosen = list(_chosen([*ids, *taken_out], taken_out))
    offered = [file for file in offered_files(owners) if file.id not in ids]
    target = _storage_of_uploads(storage)
    settings: Any = get_storage(target).settings if target else None
    return Field(
        chosen=[file for file in chosen if file.file.id not in taken_out],
        taken_out=[file for file in chosen if file.file.id in taken_out],
        offered=offered,
        owners=owners,
        storage=target,
        unfinished=_unfinished(target) if target else [],
        max_size=settings.max_size if settings and settings.max_size >= 0 else None,
        then=tk.config["ckanext.files.withdrawn"],
        types=_accepted(settings) if settings else [],
    )


def _storage_of_uploads(wanted: str | None) -> str | None:
    """Return the storage that a field names, or else the first one to which users upload."""
    of_users = tk.config["ckan.files.authenticated_uploads.storages"]
    default = tk.config["ckan.files.default_storages.default"]
    names = [wanted] if wanted else [*of_users, default]
    if not tk.current_user.is_authenticated:
        return None  # an upload belongs to a user
    return next((name for name in names if is_configured(name) and may_upload(name)), None)


def edited_owners(owner_types: Iterable[str], owner: Any) -> list[Owner]:
    """Return what a form edits, as far as it exists and the visitor may edit it."""
    if not is_id(owner):
        return []
    known = [type_ for type_ in owner_types if f"{type_}_update" in authz.auth_functions_list()]
    found = filter(None, (find_owner(model.Session(), type_, owner) for type_ in known))
    return [each for each in found if tk.h.check_access(f"{each.type}_update", {"id": each.id})]


def offered_files(
    owners: Iterable[Owner], words: str = "", start: int = 0, rows: int = CHOICES_AT_ONCE
) -> list[PageFile]:
    """Return files that the visitor may put into a field, newest first."""
    visitor = _visitor()
    if visitor is None:
        return []
    return visible_files(find_choices(model.Session(), visitor, owners, words, start, rows))


def _visitor() -> Owner | None:
    """Return the user of the request as an owner of files."""
    user: Any = tk.current_user
    return Owner("user", user.id) if user and user.is_authenticated else None


def files_then(owner_types: Collection[str] | None = None) -> list[tuple[str, str]]:
    """Return what can happen to a file that is taken out of a field, with the words for it.

    :param owner_types: what the form edits.
    """
    keep = {
        "package": tk._("Keep it with the dataset"),
        "resource": tk._("Keep it with the resource"),
        "group": tk._("Keep it with the group"),
        "organization": tk._("Keep it with the organization"),
        "user": tk._("Keep it with the profile"),
    }
    owner_type = next(iter(owner_types or ()), "")
    return [
        ("keep", keep.get(owner_type, tk._("Keep it"))),
        ("give_back", tk._("Give it back to me")),
        ("delete", tk._("Delete it")),
    ]


def _unfinished(storage: str) -> list[dict[str, Any]]:
    uploads = tk.get_action("files_upload_list")({"user": tk.current_user.name}, {})
    return [upload for upload in uploads if upload["storage"] == storage]


def _accepted(settings: Any) -> list[str]:
    types = settings.supported_types or []
    return [] if "*" in types else list(types)


def _chosen(ids: list[str], taken_out: Mapping[str, str]) -> Iterator[ChosenFile]:
    records = read_files(model.Session(), ids) if ids else {}
    own = _visitor()
    for file in files_attached(ids):
        record = records.get(file.id)
        is_loose = record is not None and record.owner == own and not record.pinned
        yield ChosenFile(file, not is_loose, taken_out.get(file.id, ""))


def files_size_patterns() -> list[str]:
    """Return CKAN's words for a size in bytes, KiB, MiB, GiB and TiB, with ``{n}`` in them.

    Scripts put the number there, so that they have the same words as the page.
    """
    sizes = [tk.h.localised_filesize(5 * 1024**power) for power in range(5)]
    numbers = [tk.h.localised_number(n) for n in (5, *[5.0] * 4)]
    return [
        size.replace(str(number), "{n}", 1) for size, number in zip(sizes, numbers, strict=True)
    ]


def files_times_left() -> list[tuple[int, str]]:
    """Return durations in seconds with their words, for a script that counts down."""
    return [
        *((n, _seconds_left(n)) for n in _SECONDS),
        *((n * 60, _minutes_left(n)) for n in _MINUTES),
        *((n * 3600, _hours_left(n)) for n in _HOURS),
    ]


def _seconds_left(n: int) -> str:
    return tk.ungettext("{n} second left", "{n} seconds left", n).format(n=n)


def _minutes_left(n: int) -> str:
    return tk.ungettext("{n} minute left", "{n} minutes left", n).format(n=n)


def _hours_left(n: int) -> str:
    return tk.ungettext("{n} hour left", "{n} hours left", n).format(n=n)
