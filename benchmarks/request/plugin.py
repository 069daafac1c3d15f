"""Datasets with fields that name files, as a portal would write them."""

from __future__ import annotations

import json
from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk
from ckan.types import Schema

DATASET_TYPE = "benchmark"


class BenchmarkPlugin(p.SingletonPlugin, tk.DefaultDatasetForm):
    """Datasets of the type ``benchmark``; nothing but the validator differs between variants."""

    p.implements(p.IDatasetForm)

    validator = "nothing"
    """What the fields of files do: nothing, queue an empty task, or transfer."""

    def package_types(self) -> list[str]:
        return [DATASET_TYPE]

    def is_fallback(self) -> bool:
        return False

    def create_package_schema(self) -> Schema:
        return self._with_files(super().create_package_schema())

    def update_package_schema(self) -> Schema:
        return self._with_files(super().update_package_schema())

    def show_package_schema(self) -> Schema:
        schema: Any = super().show_package_schema()
        from_extras = tk.get_converter("convert_from_extras")
        ignore_missing = tk.get_validator("ignore_missing")
        schema["attachment"] = [from_extras, ignore_missing]
        schema["attachments"] = [from_extras, ignore_missing, _from_json]
        schema["resources"]["attachment"] = [ignore_missing]
        return schema

    def _with_files(self, schema: Any) -> Schema:
        to_extras = tk.get_converter("convert_to_extras")
        ignore_missing = tk.get_validator("ignore_missing")
        of_package, of_resource = self._claim("package"), self._claim("resource")
        schema["attachment"] = [ignore_missing, of_package, to_extras]
        schema["attachments"] = [ignore_missing, of_package, _to_json, to_extras]
        schema["resources"]["attachment"] = [ignore_missing, of_resource]
        return schema

    def _claim(self, owner_type: str) -> Any:
        if self.validator == "transfer":
            factory: Any = tk.get_validator("files_transfer_ownership")
            return factory(owner_type)
        return {"nothing": _do_nothing, "task": _queue_empty_task}[self.validator]


# CKAN looks at the signatures of validators: functions of C have none
def _to_json(value: Any) -> Any:
    return json.dumps(value)


def _from_json(value: Any) -> Any:
    return json.loads(value)


def _do_nothing(key: Any, data: Any, errors: Any, context: Any) -> None:
    pass


def _queue_empty_task(key: Any, data: Any, errors: Any, context: Any) -> None:
    # stock CKAN runs without the extension in the process
    from ckanext.files.shared import add_task

    add_task(lambda result, idx, prev: None)
