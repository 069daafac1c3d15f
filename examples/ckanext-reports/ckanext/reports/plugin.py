"""The plugin ``reports``."""

from __future__ import annotations

from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk

from ckanext.files.background import IBackgroundTasks

from . import validators
from .tasks import measure


@tk.blanket.validators(validators)
class ReportsPlugin(p.SingletonPlugin):
    """Reports with attachments."""

    p.implements(IBackgroundTasks)
    p.implements(p.IPackageController, inherit=True)

    def get_background_task_modules(self) -> list[str]:
        return ["ckanext.reports.tasks"]

    def after_dataset_create(self, context: Any, pkg_dict: dict[str, Any]) -> None:
        self._measure(pkg_dict)

    def after_dataset_update(self, context: Any, pkg_dict: dict[str, Any]) -> None:
        self._measure(pkg_dict)

    def _measure(self, pkg_dict: dict[str, Any]) -> None:
        if pkg_dict.get("type") == "report":
            measure.delay(pkg_dict["id"])
