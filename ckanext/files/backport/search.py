"""The search for files behind ``file_owner_scan``.

It does not check access. As in CKAN 2.12, where it is not final yet, clients cannot call it.
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

from ckanext.files.parameters import all_storable

from .model import File
from .tables import file_table, owner_table

_JSON = ("storage_data", "plugin_data")
_OF_FILES = ("name", "storage", "location", "size", "hash", "created", *_JSON)
_OF_OWNERS = ("owner_id", "owner_type", "pinned")
_COLUMNS: dict[str, Any] = {
    **{name: file_table.c[name] for name in _OF_FILES},
    **{name: owner_table.c[name] for name in _OF_OWNERS},
}
_JUNCTIONS: dict[str, Callable[..., Any]] = {"$and": sa.and_, "$or": sa.or_}

_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
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
    if name in _JUNCTIONS:
        if not isinstance(value, list):
            raise _refused(f"Only lists are allowed inside {name}")
        inner = [_all_of(filters) for filters in value if isinstance(filters, dict)]
        if inner:
            yield _JUNCTIONS[name](*inner)
    elif name in _JSON:
        yield from _of_json(_COLUMNS[name], value)
    elif name in _COLUMNS:
        for symbol, wanted in _operators(value).items():
            yield _compare(_COLUMNS[name], symbol, wanted)
    else:
        raise _refused(f"Unknown filter: {name}")


def _of_json(column: Any, value: Any) -> Iterator[Any]:
    """Compare values in JSON, as JSON: PostgreSQL orders JSON of any kind."""
    for key, wanted in _operators(value).items():
        if not key.startswith("$"):
            yield from _of_json(column[key], wanted)
        elif wanted is None or key in _LIKE:
            yield _compare(column.astext, key, wanted)
        else:
            yield _compare(column, key, _as_json(wanted))


def _as_json(wanted: Any) -> Any:
    if isinstance(wanted, list):
        return [_as_json(item) for item in wanted]
    return sa.literal(wanted, JSONB)


def _operators(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    return {"$in" if isinstance(value, list) else "$eq": value}


def _compare(column: Any, symbol: str, wanted: Any) -> Any:
    if symbol == "$in" and isinstance(wanted, list):
        return sa.or_(sa.false(), *(_compare(column, "$eq", item) for item in wanted))
    if symbol in _LIKE:
        return _LIKE[symbol](sa.cast(column, sa.TEXT), str(wanted))
    if symbol not in _COMPARISONS:
        raise _refused(f"Operator {symbol} is not supported")
    if not _is_comparable(column, wanted):
        column, wanted = sa.cast(column, sa.TEXT), str(wanted)
    return _COMPARISONS[symbol](column, wanted)


def _is_comparable(column: Any, wanted: Any) -> bool:
    """Return whether PostgreSQL can compare the two as they are."""
    kind = column.type.python_type
    return wanted is None or kind is dict or type(wanted) is kind


def _order(sort: Any) -> list[Any]:
    order: list[Any] = []
    for part in [sort] if isinstance(sort, str) else sort:
        field, direction = (part, "asc") if isinstance(part, str) else _pair(part)
        if direction not in ("asc", "desc"):
            raise _refused(f"Invalid sort direction: {direction}", "sort")
        if field not in _COLUMNS:
            raise _refused(f"Invalid sort field: {field}", "sort")
        order.append(getattr(_COLUMNS[field], direction)())
    # CKAN 2.12 leaves equal files in any order: its pages may repeat one and omit another
    return [*order, file_table.c.id]


def _pair(part: Any) -> tuple[Any, Any]:
    if not isinstance(part, list) or len(part) != 2:
        raise _refused(f"Invalid sort value: {part}", "sort")
    return part[0], part[1]


def _refused(message: str, field: str = "filters") -> tk.ValidationError:
    return tk.ValidationError({field: [message]})
