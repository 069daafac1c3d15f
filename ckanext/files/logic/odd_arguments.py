"""Arguments of the actions of files at which CKAN 2.12.0 fails."""

from __future__ import annotations

from typing import Any

from ckan.plugins import toolkit as tk

from ckanext.files.storable import all_storable

_LARGEST = 2**63 - 1  # bigint

Errors = dict[str, Any]


def refuse_odd(action: str, data_dict: dict[str, Any]) -> None:
    """Refuse what PostgreSQL cannot hold, count or sort by, each on its argument.

    :raises ValidationError: there is such.
    """
    errors = _of_texts(data_dict)
    if action == "file_owner_scan":
        errors |= _of_list(data_dict)
    if data_dict.get("name") == []:  # CKAN's validators take it for no name, and its action for one
        errors["name"] = [tk._("Must be text")]
    if errors:
        raise tk.ValidationError(errors)


def _of_texts(data_dict: dict[str, Any]) -> Errors:
    message = tk._("Must be text without NUL and without half a surrogate pair")
    # names are munged, and bytes are no text
    values = [item for item in data_dict.items() if item[0] not in ("name", "upload")]
    return {str(item[0]): [message] for item in values if not all_storable(item)}


def _of_list(data_dict: dict[str, Any]) -> Errors:
    number = tk._("Must be a whole number, neither negative nor too large")
    errors = {key: [number] for key in ("start", "rows") if not _may_count(data_dict.get(key))}
    if not _may_sort(data_dict.get("sort")):
        errors["sort"] = [tk._("Must be the name of a field, or a list of names and of pairs")]
    return errors


def _may_count(value: Any) -> bool:
    try:
        return 0 <= int(value) <= _LARGEST
    except (TypeError, ValueError):
        return True  # CKAN's own validator says what is wrong with it
    except OverflowError:
        return False


def _may_sort(value: Any) -> bool:
    if value is None or isinstance(value, str):
        return True
    return isinstance(value, list) and all(map(_is_part, value))


def _is_part(part: Any) -> bool:
    is_pair = isinstance(part, list) and all(isinstance(text, str) for text in part)
    return isinstance(part, str) or is_pair
