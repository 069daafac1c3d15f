"""Schemas in Python with fields that own files, as a portal would write them."""

from __future__ import annotations

from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk
from ckan.common import CKANConfig
from ckan.logic import schema as core_schema
from ckan.types import Schema

DATASET_TYPE = "files-python"


def _owned(owner_type: str, *arguments: Any) -> list[Any]:
    files_transfer_ownership: Any = tk.get_validator("files_transfer_ownership")
    return [
        tk.get_validator("ignore_missing"),
        files_transfer_ownership(owner_type, *arguments),
    ]


class FormsPlugin(p.SingletonPlugin, tk.DefaultDatasetForm):
    """Datasets of the type ``files-python``, and users with an avatar."""

    p.implements(p.IDatasetForm)
    p.implements(p.IActions)

    def package_types(self) -> list[str]:
        return [DATASET_TYPE]

    def is_fallback(self) -> bool:
        return False

    def create_package_schema(self) -> Schema:
        return self._with_files(super().create_package_schema())

    def update_package_schema(self) -> Schema:
        return self._with_files(super().update_package_schema())

    def _with_files(self, schema: Any) -> Schema:
        to_extras = tk.get_converter("convert_to_extras")
        to_text = tk.get_validator("unicode_safe")
        schema["attachment"] = [*_owned("package"), to_text, to_extras]
        schema["second"] = [*_owned("package"), to_text, to_extras]
        schema["loose"] = [*_owned("package", "id", False), to_text, to_extras]
        # the order makes a difference: a list, or the text that it becomes
        schema["several"] = [*_owned("package"), to_text, to_extras]
        schema["several_as_text"] = [to_text, *_owned("package"), to_extras]
        schema["by_name"] = [*_owned("package", "name"), to_extras]
        # mistakes: a dataset is none of these
        schema["as_resource"] = [*_owned("resource"), to_extras]
        schema["as_group"] = [*_owned("group"), to_extras]
        schema["for_organization"] = [*_owned("organization", "owner_org"), to_extras]
        schema["resources"]["doc"] = _owned("resource")
        schema["resources"]["second_doc"] = _owned("resource")
        schema["resources"]["docs"] = [*_owned("resource"), to_text]
        schema["resources"]["for_dataset"] = _owned("package")
        schema["resources"]["by_code"] = _owned("resource", "code")
        return schema

    def show_package_schema(self) -> Schema:
        schema: Any = super().show_package_schema()
        names = ("attachment", "second", "loose", "several", "several_as_text", "by_name")
        for name in (*names, "for_organization"):
            schema[name] = [tk.get_converter("convert_from_extras"), _ignore_missing()]
        for name in ("doc", "second_doc", "docs", "for_dataset", "by_code", "code"):
            schema["resources"][name] = [_ignore_missing()]
        return schema

    def get_actions(self) -> dict[str, Any]:
        return {"user_create": _user_create, "user_update": _user_update}


class UserFormPlugin(p.SingletonPlugin):
    """The form of a user with the field ``avatar``, by the macro."""

    p.implements(p.IConfigurer)

    def update_config(self, config: CKANConfig) -> None:
        tk.add_template_directory(config, "user_form_templates")


class PlainFieldPlugin(p.SingletonPlugin, tk.DefaultDatasetForm):
    """Datasets of the type ``plain-field``: its field names a file, and no validator moves it."""

    p.implements(p.IDatasetForm)

    def package_types(self) -> list[str]:
        return ["plain-field"]

    def is_fallback(self) -> bool:
        return False

    def create_package_schema(self) -> Schema:
        return self._with_field(super().create_package_schema(), "convert_to_extras")

    def update_package_schema(self) -> Schema:
        return self._with_field(super().update_package_schema(), "convert_to_extras")

    def show_package_schema(self) -> Schema:
        return self._with_field(super().show_package_schema(), "convert_from_extras", first=True)

    def _with_field(self, schema: Any, converter: str, *, first: bool = False) -> Schema:
        steps = [_ignore_missing(), tk.get_converter(converter)]
        return {**schema, "attachment": steps[::-1] if first else steps}


def _ignore_missing() -> Any:
    return tk.get_validator("ignore_missing")


class _WithLogo:
    """Groups of a type of their own, with two fields."""

    owner_type: str

    def group_types(self) -> list[str]:
        return [f"files-{self.owner_type}"]

    def is_fallback(self) -> bool:
        return False

    def create_group_schema(self) -> Schema:
        return self._with_files(core_schema.default_create_group_schema())

    def update_group_schema(self) -> Schema:
        return self._with_files(core_schema.default_update_group_schema())

    def _with_files(self, schema: Any) -> Schema:
        to_extras = tk.get_converter("convert_to_extras")
        schema["logo"] = [*_owned(self.owner_type), to_extras]
        schema["second_logo"] = [*_owned(self.owner_type), to_extras]
        # a mistake: a group is no dataset
        schema["as_package"] = [*_owned("package"), to_extras]
        return schema


class GroupFormsPlugin(_WithLogo, p.SingletonPlugin, tk.DefaultGroupForm):
    """Groups of the type ``files-group``."""

    p.implements(p.IGroupForm, inherit=True)
    owner_type = "group"


class OrganizationFormsPlugin(_WithLogo, p.SingletonPlugin, tk.DefaultOrganizationForm):
    """Organizations of the type ``files-organization``."""

    p.implements(p.IGroupForm, inherit=True)
    owner_type = "organization"
    is_organization = True


@tk.chained_action
def _user_create(next_action: Any, context: Any, data_dict: Any) -> Any:
    context["schema"] = _user_schema(core_schema.default_user_schema())
    return next_action(context, data_dict)


@tk.chained_action
def _user_update(next_action: Any, context: Any, data_dict: Any) -> Any:
    context["schema"] = _user_schema(core_schema.default_update_user_schema())
    return next_action(context, data_dict)


def _user_schema(schema: Any) -> Any:
    # CKAN does not show fields of users that it does not know
    schema["avatar"] = _owned("user")
    schema["second_avatar"] = _owned("user")
    return schema
