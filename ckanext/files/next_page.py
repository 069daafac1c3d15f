"""Where a page leads after a form, for the pages of files and of jobs."""

from __future__ import annotations

import re

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
