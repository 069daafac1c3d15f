"""The search for files behind ``file_owner_scan``.

CKAN 2.12 keeps it from clients until it is final, and so does this one: it asks for no rights.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import ckan.plugins.toolkit as tk
import sqlalchemy as sa
from ckan import model
from ckan.types import Context
from sqlalchemy.dialects.postgresql import JSONB

from ckanext.files.storable import all_storable

from .models import File
from .tables import file_table, owner_table

_COLUMNS: dict[str, Any] = {
    **{
        name: file_table.c[name]
        for name in (
            "name",
            "storage",
            "location",
            "size",
            "hash",
            "created",
            "storage_data",
            "plugin_data",
        )
    },
    **{name: owner_table.c[name] for name in ("owner_id", "owner_type", "pinned")},
}
_JSON = ("storage_data", "plugin_data")
_TOGETHER: dict[str, Callable[..., Any]] = {"$and": sa.and_, "$or": sa.or_}

_COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    "$eq": operator.eq,
    "$ne": operator.ne,
    "$lt": operator.lt,
    "$lte": operator.le,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$is": operator.eq,
    "$isnot": operator.ne,
}
_LIKE: dict[str, Callable[[Any, str], Any]] = {
    "$like": lambda text, pattern: text.like(pattern),
    "$ilike": lambda text, pattern: text.ilike(pattern),
}


def file_search(context: Context, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Search all files.

    :param filters: ``{"size": {"$gte": 50}, "storage_data": {"a": {"b": "c"}}}``: fields of files
        and of their owners, and what each must be. A value stands for ``{"$eq": value}``, a list
        for ``{"$in": list}``; ``$and`` and ``$or`` hold lists of filters.
    :type filters: dict, optional
    :param sort: field by which they are sorted, or a list of fields and of pairs such as
        ``["size", "desc"]``. Default: ``name``
    :type sort: str or list, optional
    :param start: how many files to leave out. Default: ``0``
    :type start: int, optional
    :param rows: how many files to return. Default: ``10``
    :type rows: int, optional

    :returns: ``count``, the number of all files, and ``results``
    :rtype: dict
    """
    session: Any = context.get("session") or model.Session
    filters = data_dict.get("filters") or {}
    if not all_storable(filters):
        raise _refused("Must be text without NUL and without half a surrogate pair")
    joined = file_table.outerjoin(owner_table, owner_table.c.file_id == file_table.c.id)
    condition = _all_of(filters)
    count = sa.select(sa.func.count()).select_from(joined).where(condition)
    found = (
        sa.select(File)
        .select_from(joined)
        .where(condition)
        .order_by(*_order(data_dict.get("sort", "name")))
        .limit(data_dict.get("rows", 10))
        .offset(data_dict.get("start", 0))
    )
    with_plugin_data = bool(context.get("include_plugin_data"))
    return {
        "count": session.execute(count).scalar(),
        "results": [file.dictize(with_plugin_data) for file in session.execute(found).scalars()],
    }


def _all_of(filters: Mapping[str, Any]) -> Any:
    return sa.and_(sa.true(), *(part for item in filters.items() for part in _parts(*item)))


def _parts(name: str, value: Any) -> Iterator[Any]:
    if name in _TOGETHER:
        if not isinstance(value, list):
            raise _refused(f"Only lists are allowed inside {name}")
        inner = [_all_of(filters) for filters in value if isinstance(filters, dict)]
        if inner:
            yield _TOGETHER[name](*inner)
    elif name in _JSON:
        yield from _of_json(_COLUMNS[name], value)
    elif name in _COLUMNS:
        for symbol, wanted in _asked(value).items():
            yield _compared(_COLUMNS[name], symbol, wanted)
    else:
        raise _refused(f"Unknown filter: {name}")


def _of_json(place: Any, value: Any) -> Iterator[Any]:
    """Compare what is at a place in JSON: PostgreSQL orders JSON of any kind."""
    for key, wanted in _asked(value).items():
        if not key.startswith("$"):
            yield from _of_json(place[key], wanted)
        elif wanted is None or key in _LIKE:
            yield _compared(place.astext, key, wanted)
        else:
            yield _compared(place, key, _as_json(wanted))


def _as_json(wanted: Any) -> Any:
    if isinstance(wanted, list):
        return [_as_json(item) for item in wanted]
    return sa.literal(wanted, JSONB)


def _asked(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    return {"$in" if isinstance(value, list) else "$eq": value}


def _compared(column: Any, symbol: str, wanted: Any) -> Any:
    if symbol == "$in" and isinstance(wanted, list):
        return sa.or_(sa.false(), *(_compared(column, "$eq", item) for item in wanted))
    if symbol in _LIKE:
        return _LIKE[symbol](sa.cast(column, sa.TEXT), str(wanted))
    if symbol not in _COMPARED:
        raise _refused(f"Operator {symbol} is not supported")
    if not _is_comparable(column, wanted):
        column, wanted = sa.cast(column, sa.TEXT), str(wanted)
    return _COMPARED[symbol](column, wanted)


def _is_comparable(column: Any, wanted: Any) -> bool:
    """Tell whether PostgreSQL can compare the two as they are."""
    kind = column.type.python_type
    return wanted is None or kind is dict or type(wanted) is kind


def _order(sort: Any) -> list[Any]:
    order: list[Any] = []
    for part in [sort] if isinstance(sort, str) else sort:
        field, direction = (part, "asc") if isinstance(part, str) else _pair(part)
        if direction not in ("asc", "desc"):
            raise tk.ValidationError({"sort": [f"Invalid sort direction: {direction}"]})
        if field not in _COLUMNS:
            raise tk.ValidationError({"sort": [f"Invalid sort field: {field}"]})
        order.append(getattr(_COLUMNS[field], direction)())
    # Core leaves equal files in any order, so that pages may repeat one and leave another out.
    return [*order, file_table.c.id]


def _pair(part: Any) -> tuple[Any, Any]:
    if not isinstance(part, list) or len(part) != 2:
        raise tk.ValidationError({"sort": [f"Invalid sort value: {part}"]})
    return part[0], part[1]


def _refused(message: str) -> tk.ValidationError:
    return tk.ValidationError({"filters": [message]})
