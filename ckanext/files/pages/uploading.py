"""Uploads by forms: where the visitor may upload, and what to say of a file that is refused."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

import ckan.plugins.toolkit as tk
from ckan import model

from ckanext.files.error_texts import joined, text_of
from ckanext.files.store import describe_files, format_of, is_allowed
from ckanext.files.store.overlapping_storages import storages_of_ckan
from ckanext.files.store.storages import Capability, get_storage, is_configured, storages
from ckanext.files.uploads import size_limit

from .request_cache import cached_per_request

_MOST = 1000
"""Bytes of a message, as it is in the cookie of a session."""


@dataclasses.dataclass(frozen=True)
class UploadStorage:
    """A storage into which the visitor may upload, and what it accepts."""

    name: str

    max_size: int | None
    """The size of the largest file, in bytes; None if all sizes are accepted."""

    types: list[str]
    """The content types; empty if all are accepted."""

    @classmethod
    def named(cls, name: str) -> UploadStorage:
        """Return a storage by its name."""
        storage = get_storage(name)
        types = list(storage.settings.supported_types or [])
        return cls(name, size_limit(storage), [] if "*" in types else types)

    @property
    def type_names(self) -> list[str]:
        """What people call the types."""
        return list(dict.fromkeys(format_of("", type_) or type_ for type_ in self.types))


def upload_storages() -> list[UploadStorage]:
    """Return the storages into which the visitor may upload, the default one first."""
    default = tk.config["ckan.files.default_storages.default"]
    of_ckan = storages_of_ckan() - {default}
    names = [name for name in storages if name not in of_ckan and may_upload(name)]
    return [UploadStorage.named(name) for name in sorted(names, key=lambda n: (n != default, n))]


@cached_per_request
def field_storage(wanted: str | None) -> UploadStorage | None:
    """Return the storage that a field names, or else the first one to which users upload.

    :returns: None if the visitor may upload nothing there.
    """
    of_users = tk.config["ckan.files.authenticated_uploads.storages"]
    default = tk.config["ckan.files.default_storages.default"]
    names = [wanted] if wanted else [*of_users, default]
    if not tk.current_user.is_authenticated:
        return None  # an upload belongs to a user
    found = next((name for name in names if is_configured(name) and may_upload(name)), None)
    return UploadStorage.named(found) if found else None


def visitors_uploads() -> list[dict[str, Any]]:
    """Return the unfinished uploads of the visitor, each with ``can_go_on``.

    It is false when the storage is gone, or would refuse the file by the rights of the visitor or
    by its size. The upload still counts, and can be discarded.
    """
    uploads = tk.get_action("files_upload_list")({"user": tk.current_user.name}, {})
    names = {upload["storage"] for upload in uploads}
    usable = {name for name in names if is_configured(name) and may_upload(name)}
    limits = {name: size_limit(get_storage(name)) for name in usable}
    return [{**upload, "can_go_on": _fits(upload, limits)} for upload in uploads]


def _fits(upload: dict[str, Any], limits: Mapping[str, int | None]) -> bool:
    limit = limits.get(upload["storage"])
    return upload["storage"] in limits and (limit is None or upload["size"] <= limit)


def may_upload(storage: str) -> bool:
    """Return whether the visitor may upload into a storage that is configured."""
    takes_uploads = get_storage(storage).supports(Capability.CREATE)
    return takes_uploads and is_allowed("file_create", {"storage": storage})


def upload_all(uploads: Iterable[Any], storage: str) -> None:
    """Upload files, each in a commit of its own.

    One message says what was uploaded, and another one what was refused. CKAN keeps messages in a
    cookie, and a browser ignores a cookie of more than 4 KiB.
    """
    chosen = [upload for upload in uploads if upload.filename]
    if not chosen:
        tk.h.flash_error(tk._("Choose a file first"))
    made, refused = [], []
    for upload in chosen:
        try:
            made.append(upload_file(upload, storage))
        except NotUploadedError as error:
            refused.append(str(error))
    if made:
        tk.h.flash_success(_uploaded(made))
    if refused:
        tk.h.flash_error(_refused(refused))


def _uploaded(files: list[dict[str, Any]]) -> str:
    if len(files) > 1:
        sentence = tk.ungettext("{n} file was uploaded", "{n} files were uploaded", len(files))
        return sentence.format(n=tk.h.localised_number(len(files)))
    # people see the name that was sent, and not what CKAN makes of it
    made = describe_files(model.Session(), [files[0]["id"]]).get(files[0]["id"])
    name = made.display_name if made else files[0]["name"]
    return _shortened(tk._("{name} was uploaded").format(name=name))


def _refused(messages: list[str]) -> str:
    """Return the first messages, and the number of the others."""
    shown: list[str] = []
    for message in map(_shortened, messages):
        if shown and _size([*shown, message]) > _MOST:
            break
        shown.append(message)
    if more := len(messages) - len(shown):
        sentence = tk.ungettext(
            "{n} more file was not uploaded", "{n} more files were not uploaded", more
        )
        shown.append(sentence.format(n=tk.h.localised_number(more)))
    return joined(shown)


def _shortened(text: str) -> str:
    while _size(text) > _MOST:
        text = f"{text[: len(text) * 3 // 4]}…"
    return text


def _size(value: Any) -> int:
    """Return the size in a cookie, where a letter that is not ASCII may have 12 bytes."""
    return len(json.dumps(value))


class NotUploadedError(Exception):
    """A file was refused; the text names it, for its user."""


def upload_file(upload: Any, storage: str | None) -> dict[str, Any]:
    """Make a file of an upload, in a commit of its own.

    :param storage: None or empty for the default one.
    :raises NotUploadedError: it was refused.
    """
    data = {"upload": upload, **({"storage": storage} if storage else {})}
    try:
        return tk.get_action("file_create")({}, data)
    except (tk.ValidationError, tk.NotAuthorized) as error:
        sentence = tk._("{name} was not uploaded: {reason}")
        message = sentence.format(name=upload.filename, reason=text_of(error))
        raise NotUploadedError(message) from error
