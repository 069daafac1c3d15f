"""What a request of one of CKAN's forms knows about files, for all parts of the extension.

A page with a form takes the uploads out of a request before CKAN reads it
(:mod:`.pages.form_uploads`). Each upload that was refused leaves a placeholder in the value of its
field. The validator of the field turns it into an error, and the form does not show it.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from flask import g, has_request_context

_KEY = "files_form_request"


@dataclasses.dataclass
class _FormRequest:
    """What is known of a request; nothing if no person has sent it with a form."""

    is_form: bool = False
    refused: dict[str, str] = dataclasses.field(default_factory=dict)
    taken_out: dict[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    taken_out_of: dict[str, str] = dataclasses.field(default_factory=dict)
    initial: dict[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    resource: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def _current() -> _FormRequest:
    return g.setdefault(_KEY, _FormRequest()) if has_request_context() else _FormRequest()


def mark() -> None:
    """Remember that a person has sent this request with a form."""
    _current().is_form = True


def is_form() -> bool:
    """Return whether a person has sent this request with a form, rather than a program."""
    return _current().is_form


def refuse(message: str) -> str:
    """Keep a message about an upload; return what stands for the upload in the field's value."""
    placeholder = f"refused-upload-{uuid.uuid4()}"
    _current().refused[placeholder] = message
    return placeholder


def refusals(ids: Iterable[str]) -> dict[str, str]:
    """Return the messages about refused uploads by what stands for them in the value."""
    refused = _current().refused
    return {id_: refused[id_] for id_ in ids if id_ in refused}


def take_out(field: str, files: Mapping[str, str]) -> None:
    """Remember the files that the form takes out of a field: by their ids, what then happens."""
    current = _current()
    current.taken_out[field] = files
    for id_ in files:
        current.taken_out_of.setdefault(id_, field)


def taken_out(field: str) -> Mapping[str, str]:
    """Return the files that the form has taken out of a field, for a form that comes back."""
    return _current().taken_out.get(field, {})


def field_taking_out(file_id: str) -> str | None:
    """Return the name of the field out of which the form takes a file."""
    return _current().taken_out_of.get(file_id)


def set_initial(field: str, sent: Sequence[str]) -> None:
    """Remember what the form sends about the initial files of a field.

    :param sent: the ids, and digests of other fields (:mod:`.ownership.form_fields`).
    """
    _current().initial[field] = sent


def initial() -> Mapping[str, Sequence[str]]:
    """Return what the form sends about the initial files of its fields, by the fields' names."""
    return _current().initial


@contextmanager
def saving_resource(resource: Mapping[str, Any]) -> Iterator[None]:
    """Remember the ``data_dict`` of a resource action, within a block.

    ``package_update`` runs in it; the fields of the form are the resource's.
    """
    current = _current()
    before, current.resource = current.resource, resource
    try:
        yield
    finally:
        current.resource = before


def resource() -> Mapping[str, Any]:
    """Return the ``data_dict`` of the resource action that runs; empty if none runs."""
    return _current().resource
