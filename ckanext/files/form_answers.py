"""How a page answers a form, for the pages of files and of jobs: where it leads, and errors."""

from __future__ import annotations

import re
from typing import Any

import ckan.plugins.toolkit as tk


def next_page() -> str | None:
    """Return the page to which the parameter ``next`` of the request leads, if the site has it."""
    return local_page(tk.request.values.get("next", ""))


def local_page(address: str) -> str | None:
    """Return an address that a request has sent; None if it does not lead to a page of this site.

    CKAN's ``url_is_local`` accepts more: a browser reads ``/\\`` as ``//``, which leads to another
    site, and leaves out line breaks.
    """
    is_path = re.match(r"/(?![/\\])", address) and address.isprintable()
    return address if is_path and tk.h.url_is_local(address) else None


def words_of(error: Any) -> str:
    """Return what an error of an action means to a person."""
    if isinstance(error, tk.ValidationError):
        messages: Any = [m for key, m in error.error_dict.items() if key != "__type"]
        return " ".join(str(text) for some in messages for text in _listed(some))
    return str(getattr(error, "message", None) or error)


def _listed(messages: Any) -> list[Any]:
    return messages if isinstance(messages, list) else [messages]
