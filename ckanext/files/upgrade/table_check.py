"""Comparing the tables of ckanext-files 1.x with ours, column by column.

Nothing is changed here. A difference that a statement can repair without losing
data is a step; each other difference is an obstacle.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import dialect
from sqlalchemy.engine import Connection, Inspector
from sqlalchemy.schema import CreateIndex

from ckanext.files.backport.tables import file_table, history_table, owner_table
from ckanext.files.search import without_reflection_warnings

TABLES: tuple[sa.Table, ...] = (file_table, owner_table, history_table)
"""Each table refers only to earlier ones."""

_DIALECT = dialect()

# conversions of types that lose no data: from a type, to a type
_CONVERSIONS = {
    ("VARCHAR", "TEXT"): "{column}::text",
    ("SMALLINT", "BIGINT"): "{column}::bigint",
    ("INTEGER", "BIGINT"): "{column}::bigint",
    ("JSON", "JSONB"): "{column}::jsonb",
    # CKAN and its extensions write times without a zone in UTC
    ("TIMESTAMP WITHOUT TIME ZONE", "TIMESTAMP WITH TIME ZONE"): "{column} AT TIME ZONE 'UTC'",
}


class Step(NamedTuple):
    """One change of a table."""

    text: str
    """The change, for people."""

    statement: str


class TableCheck(NamedTuple):
    """The differences between the tables."""

    steps: list[Step]
    obstacles: list[str]
    remarks: list[str]


def check_tables(connection: Connection) -> TableCheck:
    """Compare all tables with ours."""
    check = TableCheck([], [], [])
    inspector: Any = sa.inspect(connection)
    for table in TABLES:
        _file(check, _columns_and_key(connection, inspector, table))
    # keys and indexes can only be compared when all columns exist
    if not check.obstacles:
        for table in TABLES:
            _file(check, _foreign_keys(connection, inspector, table))
            _file(check, _indexes(connection, inspector, table))
    return check


class _Obstacle(NamedTuple):
    text: str


class _Remark(NamedTuple):
    text: str


_Findings = Iterator[Step | _Obstacle | _Remark]


def _file(check: TableCheck, findings: _Findings) -> None:
    for finding in findings:
        if isinstance(finding, Step):
            check.steps.append(finding)
        elif isinstance(finding, _Obstacle):
            check.obstacles.append(finding.text)
        else:
            check.remarks.append(finding.text)


def _columns_and_key(connection: Connection, inspector: Any, table: sa.Table) -> _Findings:
    if not inspector.has_table(table.name):
        yield _Obstacle(f"there is no table {table}")
        return
    yield from _columns(connection, inspector, table)
    wanted = [column.name for column in table.primary_key]
    found = inspector.get_pk_constraint(table.name)["constrained_columns"]
    if found != wanted:
        yield _Obstacle(f"the primary key of {table} is {_listed(found)}, not {_listed(wanted)}")


def _columns(connection: Connection, inspector: Inspector, table: sa.Table) -> _Findings:
    found = {column["name"]: column for column in inspector.get_columns(table.name)}
    for column in table.columns:
        if column.name in found:
            yield from _column(connection, column, found.pop(column.name))
        else:
            yield _missing_column(column)
    for name, column in found.items():
        where = f"column {table}.{name}"
        if column["nullable"] or column["default"]:
            yield _Remark(f"{where} is not one of ours and stays as it is")
        else:
            yield _Obstacle(f"{where} is not one of ours and must be filled: files cannot be added")


def _missing_column(column: Any) -> Step | _Obstacle:
    where = f"column {column.table}.{column.name}"
    filling = _filling(column)
    if filling is None:
        return _Obstacle(f"{where} is missing")
    definition = f"{_type(column.type)} NOT NULL DEFAULT {filling}"
    return Step(
        f"add the {where}", f"ALTER TABLE {column.table} ADD COLUMN {column.name} {definition}"
    )


def _column(connection: Connection, column: Any, found: Any) -> _Findings:
    where, alter = f"column {column.table}.{column.name}", f"ALTER TABLE {column.table} "
    alter += f"ALTER COLUMN {column.name}"
    wanted, given = _type(column.type), _type(found["type"])
    default = found["default"]
    if given != wanted:
        conversion = _CONVERSIONS.get((given.split("(")[0], wanted))
        if not conversion:
            yield _Obstacle(f"{where} is of type {given}, not {wanted}")
            return
        if default:
            # the default may not fit the new type
            yield Step(f"drop the default of {where}", f"{alter} DROP DEFAULT")
            default = None
        using = conversion.format(column=column.name)
        yield Step(
            f"change {where} from {given} to {wanted}", f"{alter} TYPE {wanted} USING {using}"
        )
    if column.server_default and not default:
        yield Step(f"give {where} its default", f"{alter} SET DEFAULT {_default(column)}")
    if found["nullable"]:
        yield from _not_null(connection, column, where, alter)
    # true for both types, and with any spaces around null
    is_null = f"json_typeof({column.name}::json) = 'null'"
    if wanted == "JSONB" and _count(connection, column, is_null):
        yield Step(
            f"fill {where} where it is null",
            f"UPDATE {column.table} SET {column.name} = {_default(column)} WHERE {is_null}",
        )


def _not_null(connection: Connection, column: Any, where: str, alter: str) -> _Findings:
    filling = _filling(column)
    if empty := _count(connection, column, f"{column.name} IS NULL"):
        if filling is None:
            yield _Obstacle(f"{where} is empty in {empty} rows")
            return
        yield Step(
            f"fill {where} where it is empty",
            f"UPDATE {column.table} SET {column.name} = {filling} WHERE {column.name} IS NULL",
        )
    yield Step(f"let {where} be never empty", f"{alter} SET NOT NULL")


def _foreign_keys(connection: Connection, inspector: Inspector, table: sa.Table) -> _Findings:
    found = inspector.get_foreign_keys(table.name)
    keys: Any = table.foreign_keys
    for key in keys:
        target, column = key.column.table.name, key.parent.name
        known = [
            item
            for item in found
            if item["constrained_columns"] == [column]
            and item["referred_table"] == target
            and item["referred_columns"] == [key.column.name]
        ]
        if any(item.get("options", {}).get("ondelete") == key.ondelete for item in known):
            continue
        where = f"{table}.{column}"
        for item in known:
            yield Step(
                f"drop {item['name']}, which does not cascade",
                f'ALTER TABLE {table} DROP CONSTRAINT "{item["name"]}"',
            )
        lost = _count(
            connection,
            key.parent,
            f"NOT EXISTS (SELECT FROM {target} AS t WHERE t.{key.column.name} = {where})",
        )
        if lost:
            yield _Obstacle(f"{lost} rows of {table} have no row in {target}")
            continue
        yield Step(
            f"let {where} follow {target}",
            f"ALTER TABLE {table} ADD FOREIGN KEY ({column}) "
            f"REFERENCES {target} ({key.column.name}) ON DELETE {key.ondelete}",
        )


def _indexes(connection: Connection, inspector: Inspector, table: sa.Table) -> _Findings:
    unique = [item["column_names"] for item in inspector.get_unique_constraints(table.name)]
    with without_reflection_warnings():
        indexes = inspector.get_indexes(table.name)
    found = [
        (item["column_names"], item["unique"])
        for item in indexes
        # a partial index does not cover all rows
        if "postgresql_where" not in item.get("dialect_options", {})
    ]
    found += [(columns, True) for columns in unique]
    names = {item["name"] for item in indexes}
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        columns = [column.name for column in index.columns]
        if (columns, True) in found or (not index.unique and (columns, False) in found):
            continue
        if index.name in names:
            yield _Obstacle(f"the index {index.name} is not what it should be")
        elif index.unique and (twice := _twice(connection, table, columns)):
            yield _Obstacle(f"{twice} pairs of {_listed(columns)} are in {table} more than once")
        else:
            statement = str(CreateIndex(index).compile(dialect=_DIALECT))
            yield Step(f"index {table} by {_listed(columns)}", statement)


def _count(connection: Connection, column: Any, condition: str) -> int:
    statement = f"SELECT count(*) FROM {column.table} WHERE {condition}"
    return connection.execute(sa.text(statement)).scalar() or 0


def _twice(connection: Connection, table: sa.Table, columns: list[str]) -> int:
    names = ", ".join(columns)
    groups = f"SELECT 1 FROM {table} GROUP BY {names} HAVING count(*) > 1"
    return connection.execute(sa.text(f"SELECT count(*) FROM ({groups}) AS g")).scalar() or 0


def _type(type_: Any) -> str:
    return type_.compile(dialect=_DIALECT)


def _filling(column: Any) -> str | None:
    """Return the SQL of a value for rows that lack one; None if there is no such value."""
    # the default size would be wrong: only the storage knows the size of a file
    is_size = isinstance(column.type, sa.BigInteger)
    return _default(column) if column.server_default and not is_size else None


def _default(column: Any) -> str:
    """Return the default that the database has for a column, as SQL."""
    value = column.server_default.arg
    if isinstance(value, str):
        return _quoted(value)
    return str(value.compile(dialect=_DIALECT))


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _listed(names: list[str]) -> str:
    return " and ".join(names) or "nothing"
