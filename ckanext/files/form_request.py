"""What a request of one of CKAN's forms knows about files, for all parts of the extension.

A page with a form takes the uploads out of a request before CKAN reads it
(:mod:`.pages.form_uploads`). Each upload that was refused leaves a placeholder in the value of its
field. The validator of the field turns it into an error, and the form does not show it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from flask import g, has_request_context

_REFUSED = "files_refused_uploads"
_IS_FORM = "files_is_form"


def mark() -> None:
    """Remember that a person has sent this request with a form."""
    g.files_is_form = True


def is_form() -> bool:
    """Return whether a person has sent this request with a form, rather than a program."""
    return has_request_context() and bool(g.get(_IS_FORM))


def refuse(message: str) -> str:
    """Keep a message about an upload; return what stands for the upload in the field's value."""
    placeholder = f"refused-upload-{uuid.uuid4()}"
    g.setdefault(_REFUSED, {})[placeholder] = message
    return placeholder


def refusals(ids: Iterable[str]) -> dict[str, str]:
    """Return the messages about refused uploads by what stands for them in the value."""
    refused: dict[str, Any] = g.get(_REFUSED, {}) if has_request_context() else {}
    return {id_: refused[id_] for id_ in ids if id_ in refused}
