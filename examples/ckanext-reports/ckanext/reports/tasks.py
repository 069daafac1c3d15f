"""The background tasks of reports."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk

from ckanext.files.background import task


def as_site_user() -> Any:
    """Return a context for what the portal does by itself."""
    return {"user": tk.get_action("get_site_user")({"ignore_auth": True}, {})["name"]}


@task
def measure(report_id: str) -> None:
    """Write the size of the attachment into the report.

    The job may be old: the report may be gone, or have another attachment since.
    """
    try:
        report = tk.get_action("package_show")(as_site_user(), {"id": report_id})
    except tk.ObjectNotFound:
        return
    size = _size(report.get("attachment"))
    if size != report.get("attachment_size"):
        patch = {"id": report_id, "attachment_size": size}
        tk.get_action("package_patch")(as_site_user(), patch)


def _size(file_id: str | None) -> int | None:
    if not file_id:
        return None
    return tk.get_action("file_show")(as_site_user(), {"id": file_id})["size"]
