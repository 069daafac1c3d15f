"""The validator ``into_upload`` of CKAN 2.12."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk

from .storages import make_upload


def into_upload(value: Any) -> Any:
    """Make an upload from bytes, an open file or what a form has sent."""
    try:
        return make_upload(value)
    except TypeError as error:
        raise tk.Invalid(f"Unsupported source type: {error}") from error
    except ValueError as error:
        raise tk.Invalid(f"Wrong file: {error}") from error
