"""A dataset type with a field that names a file, and no validator that moves it."""

from __future__ import annotations

from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk


class PlainFieldPlugin(p.SingletonPlugin, tk.DefaultDatasetForm):
    """Datasets of the type ``plain-field``."""

    p.implements(p.IDatasetForm)

    def package_types(self) -> list[str]:
        return ["plain-field"]

    def is_fallback(self) -> bool:
        return False

    def create_package_schema(self) -> Any:
        return _with_field(super().create_package_schema(), "convert_to_extras")

    def update_package_schema(self) -> Any:
        return _with_field(super().update_package_schema(), "convert_to_extras")

    def show_package_schema(self) -> Any:
        return _with_field(super().show_package_schema(), "convert_from_extras", first=True)


def _with_field(schema: Any, converter: str, *, first: bool = False) -> Any:
    steps = [tk.get_validator("ignore_missing"), tk.get_converter(converter)]
    return {**schema, "attachment": steps[::-1] if first else steps}
