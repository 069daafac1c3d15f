"""The validators of the fields of a report."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk

from ckanext.files.shared import add_task

__all__ = ["reports_join_series"]


def reports_join_series(value: str, context: Any) -> str:
    """Add the report to the group, in the commit of the action that saves the report.

    When the user may not edit the group, the action fails and saves nothing.
    """
    user = context["user"]

    def join(result: Any, idx: int, prev: Any) -> None:
        # an action that is called with return_id_only returns the id alone
        report_id = result if isinstance(result, str) else result["id"]
        member = {"object": report_id, "object_type": "package", "capacity": "public"}
        tk.get_action("member_create")({"user": user}, {"id": value, **member})

    add_task(join)
    return value
