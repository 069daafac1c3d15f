"""Schemas of the actions."""

from __future__ import annotations

import unicodedata
from typing import Any

from ckan.logic.schema import validator_args
from ckan.plugins import toolkit as tk
from ckan.types import Context, Schema, Validator, ValidatorFactory

from ckanext.files.ownership import is_id
from ckanext.files.parameters import as_bool, is_storable
from ckanext.files.search import LONGEST_SEARCH, Sort, parse_sort
from ckanext.files.store import LONGEST_TITLE

MOST_ROWS = 1000
"""That one search returns."""

_LARGEST = 2**31
_NO_TEXT = frozenset({"Cc", "Zl", "Zp"})
"""Categories of Unicode: control characters, and the ends of lines and paragraphs."""

_SEEN = ("L", "N", "P", "S", "Co")
"""Beginnings of the categories of characters that people see by themselves."""

_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0\U0001d159")
"""Letters and symbols of which people see nothing."""


@validator_args
def transfer_ownership(not_empty: Validator, default: ValidatorFactory) -> Schema:
    """Return the schema of ``files_transfer_ownership``."""
    return {
        "id": [not_empty, _id],
        "owner_type": [not_empty, _id],
        "owner_id": [not_empty, _id],
        "force": [default(False), as_bool],
        "pin": [default(False), as_bool],
    }


def _id(value: Any) -> Any:
    if not is_id(value):
        raise tk.Invalid(tk._("Must be a short text without control characters"))
    return value


@validator_args
def search(default: ValidatorFactory, int_validator: Validator) -> Schema:
    """Return the schema of ``files_search``."""
    return {
        "q": [default(""), _searched],
        "owner_type": [default(""), _id_or_nothing],
        "owner_id": [default(""), _id_or_nothing],
        "storage": [default(""), _id_or_nothing],
        "format": [default(""), _id_or_nothing],
        "sort": [default("created desc"), _sort],
        "start": [default(0), _up_to(_LARGEST, int_validator)],
        "rows": [default(20), _up_to(MOST_ROWS, int_validator)],
        "include_formats": [default(False), as_bool],
    }


@validator_args
def title_update(not_empty: Validator, default: ValidatorFactory) -> Schema:
    """Return the schema of ``files_title_update``."""
    return {"id": [not_empty, _id], "title": [default(""), _title]}


def _id_or_nothing(value: Any) -> Any:
    return value and _id(value)


def _searched(value: Any) -> str:
    if not isinstance(value, str) or not is_storable(value):
        raise tk.Invalid(tk._("Must be text without NUL and without half a surrogate pair"))
    return value[:LONGEST_SEARCH]


def _sort(value: Any) -> Sort:
    sort = parse_sort(value) if isinstance(value, str) else None
    if sort is None:
        raise tk.Invalid(tk._("Must be name, created, size or owner, with asc or desc"))
    return sort


def _up_to(largest: int, int_validator: Any) -> Any:
    def validator(value: Any, context: Context) -> int:
        # CKAN calls the next validator of a list in any case
        value = int_validator(value, context)
        if value is None or not 0 <= value <= largest:
            message = tk._("Must be a number from 0 to {largest}")
            raise tk.Invalid(message.format(largest=largest))
        return value

    return validator


def is_title(value: Any) -> bool:
    """Return whether a text can be the title of a file."""
    try:
        return bool(_title(value))
    except tk.Invalid:
        return False


def _title(value: Any) -> str:
    """Refuse what a page cannot show on one line."""
    if not isinstance(value, str) or not is_storable(value):
        raise tk.Invalid(tk._("Must be text without NUL and without half a surrogate pair"))
    title = value.strip()
    if len(title) > LONGEST_TITLE:
        message = tk._("Must have at most {number} characters")
        raise tk.Invalid(message.format(number=LONGEST_TITLE))
    if any(unicodedata.category(character) in _NO_TEXT for character in title):
        raise tk.Invalid(tk._("Must not contain line breaks or other control characters"))
    if title and not any(map(_is_seen, title)):
        raise tk.Invalid(tk._("Must contain a character that can be seen"))
    return title


def _is_seen(character: str) -> bool:
    return unicodedata.category(character).startswith(_SEEN) and character not in _BLANK
