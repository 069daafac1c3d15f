"""The work that is measured."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable
from typing import Any

import ckan.plugins.toolkit as tk
from ckan import model
from ckan.types import Context

from .stopwatch import Stopwatch


class Work:
    """Updates datasets as a client does that sends back what it was shown, with changes."""

    def __init__(self, user: str, calls_transfer: bool) -> None:
        self._user = user
        self._calls_transfer = calls_transfer
        self._stopwatch = Stopwatch()
        self._shown: dict[str, dict[str, Any]] = {}

    def do(self, dataset: str, field: str, title: str, files: list[str]) -> dict[str, Any]:
        """Update a dataset, and return what the stopwatch says.

        The title is a new one each time: CKAN 2.12 returns early when nothing changes.
        """
        data = self._prepare(dataset, title, field, files)
        context = self._context()
        gc.collect()
        self._stopwatch.start()
        result = tk.get_action("package_update")(context, data)
        if self._calls_transfer:
            self._transfer(result, field, files)
        measured = self._stopwatch.stop()
        assert result["title"] == title
        self._shown[dataset] = result
        return measured

    def _prepare(self, dataset: str, title: str, field: str, files: list[str]) -> dict[str, Any]:
        if dataset not in self._shown:
            self._shown[dataset] = tk.get_action("package_show")(self._context(), {"id": dataset})
        data = copy.deepcopy(self._shown[dataset])
        data["title"] = title
        _PUT[field](data, files)
        return data

    def _transfer(self, result: dict[str, Any], field: str, files: list[str]) -> None:
        transfer = tk.get_action("file_ownership_transfer")
        for number, file in enumerate(files):
            owner_type, owner = "package", result
            if field == "resources":
                owner_type, owner = "resource", result["resources"][number]
            data = {"id": file, "owner_type": owner_type, "owner_id": owner["id"], "pin": True}
            transfer(self._context(), data)

    def _context(self) -> Context:
        return {"user": self._user, "auth_user_obj": model.User.get(self._user)}


def _put_attachment(data: dict[str, Any], files: list[str]) -> None:
    (data["attachment"],) = files


def _put_attachments(data: dict[str, Any], files: list[str]) -> None:
    data["attachments"] = files


def _put_resources(data: dict[str, Any], files: list[str]) -> None:
    for resource, file in zip(data["resources"], files, strict=True):
        resource["attachment"] = file


_PUT: dict[str, Callable[[dict[str, Any], list[str]], None]] = {
    "attachment": _put_attachment,
    "attachments": _put_attachments,
    "resources": _put_resources,
}
