"""The filters of a list, between the address of a page and the actions."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
from werkzeug.datastructures import MultiDict

NAMES = ("status", "queue", "task", "user_id", "text")


def given(values: MultiDict[str, str]) -> dict[str, Any]:
    """Return the filters that a query or a form has, those that are not blank."""
    found: dict[str, Any] = {
        name: value for name in NAMES if (value := values.get(name, "").strip())
    }
    states = [state for state in values.getlist("status") if state]
    return {**found, "status": states} if states else found


def address(endpoint: str, filters: dict[str, Any], **more: Any) -> str:
    """Return the address of a list with filters."""
    return tk.url_for(endpoint, **filters, **more)
