"""Declare the options of file-keeper's adapters, as their settings define them."""

from __future__ import annotations

import dataclasses

import file_keeper as fk
from ckan.config.declaration import Declaration, Key

_COMMON = frozenset(field.name for field in dataclasses.fields(fk.Settings))


def declare_settings(declaration: Declaration, key: Key, settings: type[fk.Settings]) -> None:
    """Declare what an adapter has beyond the settings that all have.

    What only code can give it, a connection for example, is no option.
    """
    for field in dataclasses.fields(settings):
        option = getattr(key, field.name)
        if field.name not in _COMMON and option not in declaration:
            _declare(declaration, option, field)


def _declare(declaration: Declaration, key: Key, field: dataclasses.Field[object]) -> None:
    # file-keeper's modules have their annotations as text
    kind = str(field.type).removesuffix(" | None")
    if kind == "bool":
        option = declaration.declare_bool(key, bool(field.default))
    elif kind == "int":
        option = declaration.declare_int(key, _as_int(field.default))
    elif kind == "str":
        option = declaration.declare(key, field.default)
    elif kind.startswith("dict["):
        option = declaration.declare(key, "{}")
        option.set_validators("convert_to_json_if_string dict_only")
    else:
        return
    form = "as a JSON object, " if kind.startswith("dict[") else ""
    option.set_description(f"`{field.name}` of file-keeper's adapter, {form}see its documentation.")


def _as_int(value: object) -> int:
    return value if isinstance(value, int) else 0
