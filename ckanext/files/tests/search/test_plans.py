"""What PostgreSQL does for a search among a hundred thousand files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from ckanext.files.search import (
    ALL,
    MOST_COUNTED,
    Query,
    Scope,
    Sort,
    files_of,
    files_of_type,
    find_choices,
    parse_sort,
    search,
)
from ckanext.files.search.indexes import create_indexes, drop_indexes
from ckanext.files.store import Owner
from ckanext.files.store.models import file_table, owner_table
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files")

FILES = 100_000

# A tenth of the files belongs to users; the others belong to 5,000 datasets and 50,000 resources.
# Most of the datasets are in a large organization, ten in a small one.
# Files of other tests would be the newest ones.
FILL = f"""
    TRUNCATE {file_table} CASCADE;

    INSERT INTO "group" (id, name, title, type, is_organization, state, approval_status)
    SELECT 'plan-org-' || g, 'plan-org-' || g, 'O', 'organization', true, 'active', 'approved'
    FROM generate_series(0, 1) AS g;

    INSERT INTO package (id, name, title, type, state, owner_org, private)
    SELECT 'plan-pkg-' || g, 'plan-pkg-' || g, 'P', 'dataset', 'active',
        CASE WHEN g < 10 THEN 'plan-org-1' ELSE 'plan-org-0' END, false
    FROM generate_series(0, {FILES} / 20) AS g;

    INSERT INTO resource (id, url, name, package_id, state, position)
    SELECT 'plan-res-' || g, 'u', 'n', 'plan-pkg-' || (g / 10), 'active', 0
    FROM generate_series(0, {FILES} / 2 - 1) AS g;

    INSERT INTO {file_table} (id, name, storage, location, content_type, size, hash, algorithm,
        created, storage_data, plugin_data)
    SELECT 'plan-file-' || g,
        CASE g % 3
            WHEN 0 THEN 'annual-report_' || g || '.pdf'
            WHEN 1 THEN 'levels.' || g || '.csv'
            ELSE 'data ' || g || '.zip'
        END,
        CASE WHEN g % 1000 = 7 THEN 'rare' ELSE 'default' END, 'plan-' || g, 'text/plain',
        (g * 7919::bigint) % 100000, '', '', now() - g / 3 * interval '1 minute', '{{}}',
        jsonb_build_object('files', jsonb_build_object('title', 'Title of ' || g))
    FROM generate_series(0, {FILES} - 1) AS g;

    INSERT INTO {owner_table} (file_id, owner_type, owner_id, pinned)
    SELECT 'plan-file-' || g,
        CASE WHEN g % 10 = 9 THEN 'user' WHEN g % 2 = 0 THEN 'resource' ELSE 'package' END,
        CASE
            WHEN g % 1000 = 9 THEN 'plan-user-1'
            WHEN g % 10 = 9 THEN 'plan-user-0'
            WHEN g % 2 = 0 THEN 'plan-res-' || (g / 2)
            ELSE 'plan-pkg-' || (g / 20)
        END,
        true
    FROM generate_series(0, {FILES} - 1) AS g WHERE g % 1000 <> 0;

    ANALYZE {file_table}; ANALYZE {owner_table}; ANALYZE package; ANALYZE resource;
"""


@pytest.fixture(scope="module")
def filled(loaded: Any) -> Iterator[Connection]:
    """A transaction in which there are many files, and which is rolled back."""
    with engine().connect() as connection, connection.begin() as transaction:
        drop_indexes(connection)
        for statement in FILL.split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement.replace("%", "%%"))
        create_indexes(connection)
        connection.exec_driver_sql(f"ANALYZE {file_table}")  # of the indexes
        yield connection
        transaction.rollback()


def plans(connection: Connection, look: Callable[[Session], object]) -> list[Any]:
    """Return the plan of each statement of a search, with what it has really read."""
    seen: list[str] = []

    def sending(_c: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        seen.append(cursor.mogrify(statement, parameters).decode())

    event.listen(connection, "before_cursor_execute", sending)
    try:
        look(Session(bind=connection))
    finally:
        event.remove(connection, "before_cursor_execute", sending)
    explain = "EXPLAIN (ANALYZE, FORMAT JSON) "
    found = [connection.exec_driver_sql(explain + sql.replace("%", "%%")).scalar() for sql in seen]
    return [plan if isinstance(plan, list) else json.loads(str(plan)) for plan in found]


def first_page(scope: Scope, query: Query) -> Callable[[Session], object]:
    return lambda session: search(session, scope.conditions(session), query, 0, 20)


def nodes(plan: Any) -> Iterator[dict[str, Any]]:
    if isinstance(plan, dict):
        yield plan
    for part in plan.values() if isinstance(plan, dict) else plan:
        if isinstance(part, (dict, list)):
            yield from nodes(part)


def files_read(plan: Any, table: Any = file_table) -> int:
    """Return how many rows of the table of files, or of another one, were read."""
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in nodes(plan)
        if node.get("Relation Name") == str(table)
    )


SCOPES = {
    "all": ALL,
    "of users": files_of_type("user"),
    "of datasets": files_of_type("package"),
    "a user with many": files_of(Owner("user", "plan-user-0")),
    "a user with few": files_of(Owner("user", "plan-user-1")),
    "a dataset": files_of(Owner("package", "plan-pkg-20")),
    "a small organization": files_of(Owner("organization", "plan-org-1")),
    "a large organization": files_of(Owner("organization", "plan-org-0")),
}
MANY = {"of users", "of datasets", "a user with many", "a large organization"}
QUERIES = {
    "no condition": {},
    "a frequent word": {"words": "report"},
    "a rare word": {"words": "777"},
    "two words": {"words": "report 77"},
    "a frequent format": {"format": "PDF"},
    "a rare storage": {"storage": "rare"},
}


@pytest.mark.parametrize("order", ["created desc", "name", "size desc"])
@pytest.mark.parametrize("conditions", QUERIES)
@pytest.mark.parametrize("name", SCOPES)
def test_few_files_are_read(name: str, conditions: str, order: str, filled: Connection) -> None:
    sort = parse_sort(order)
    assert sort
    query = Query(**QUERIES[conditions], sort=sort)
    found = plans(filled, first_page(SCOPES[name], query))
    if name not in MANY:
        most = 3.5 * MOST_COUNTED
    elif conditions == "no condition":
        most = 1100  # the first files of the order fill the page
    else:
        most = 1.1 * FILES  # PostgreSQL may read the table once
    assert sum(map(files_read, found)) <= most, json.dumps(found[-1], indent=1)


@pytest.mark.parametrize("name", [*MANY, "a dataset", "a small organization"])
def test_no_file_is_read_in_the_order_of_owners(name: str, filled: Connection) -> None:
    query = Query(sort=Sort("owner"))
    assert sum(map(files_read, plans(filled, first_page(SCOPES[name], query)))) == 0


def test_few_owners_are_read(filled: Connection) -> None:
    """Only owners of files that are found, however many owners an organization has."""
    scope, query = SCOPES["a large organization"], Query(**QUERIES["a rare storage"])
    found = plans(filled, first_page(scope, query))
    read = sum(files_read(plan, owner_table) for plan in found)
    assert 0 < read <= 1000, json.dumps(found[-1], indent=1)


def test_few_files_are_read_for_a_choice(filled: Connection) -> None:
    """Of many files that a form offers, and of which many have the word."""
    owner = Owner("user", "plan-user-0")
    found = plans(filled, lambda session: find_choices(session, owner, [owner], "report"))
    assert 0 < sum(map(files_read, found)) <= 1100, json.dumps(found, indent=1)
    of_owners = sum(files_read(plan, owner_table) for plan in found)
    assert 0 < of_owners <= 1100, json.dumps(found, indent=1)


ALL_FILES = f"""
    SELECT file.id FROM {file_table} AS file LEFT JOIN {owner_table} AS owner
        ON owner.file_id = file.id
    LEFT JOIN resource ON owner_type = 'resource' AND resource.id = owner_id
    LEFT JOIN package ON package.id = CASE owner_type
        WHEN 'package' THEN owner_id WHEN 'resource' THEN resource.package_id END
"""
IN_WORDS = {
    "all": "true",
    "of users": "owner_type = 'user'",
    "of datasets": "owner_type IN ('package', 'resource')",
    "a user with many": "owner_id = 'plan-user-0'",
    "a user with few": "owner_id = 'plan-user-1'",
    "a dataset": "package.id = 'plan-pkg-20'",
    "a small organization": "package.owner_org = 'plan-org-1'",
    "a large organization": "package.owner_org = 'plan-org-0'",
    "no condition": "true",
    "a frequent word": "file.name LIKE '%report%'",
    "a frequent format": "file.name LIKE '%.pdf'",
    "a rare storage": "file.storage = 'rare'",
    "created desc": "file.created DESC, file.id DESC",
    "size": "file.size, file.id",
    "owner": "owner_type, owner_id, file.id",
}
"""Scopes, queries and orders as a person would write them."""


def plain(connection: Connection, name: str, conditions: str, order: str) -> Sequence[str]:
    where = f"{IN_WORDS[name]} AND {IN_WORDS[conditions]}"
    statement = f"{ALL_FILES} WHERE {where} ORDER BY {IN_WORDS[order]}".replace("%", "%%")
    return connection.exec_driver_sql(statement).scalars().all()


@pytest.mark.parametrize("order", ["created desc", "size", "owner"])
@pytest.mark.parametrize(
    "conditions", ["no condition", "a frequent word", "a frequent format", "a rare storage"]
)
@pytest.mark.parametrize("name", SCOPES)
def test_a_search_finds_what_a_plain_statement_finds(
    name: str, conditions: str, order: str, filled: Connection
) -> None:
    expected = plain(filled, name, conditions, order)
    sort = parse_sort(order)
    assert sort
    session, query = Session(bind=filled), Query(**QUERIES[conditions], sort=sort)
    owned = SCOPES[name].conditions(session)
    for start, rows in ((0, 20), (90, 20), (4990, 20), (0, 0), (0, 1000)):
        found = search(session, owned, query, start, rows)
        assert found.ids == expected[start : start + rows]
        assert found.number == min(len(expected), MOST_COUNTED)
        assert found.is_exact == (len(expected) <= MOST_COUNTED)


@pytest.mark.parametrize("conditions", ["no condition", "a frequent word"])
@pytest.mark.parametrize("name", ["a user with many", "a user with few"])
def test_choices_are_what_a_plain_statement_finds(
    name: str, conditions: str, filled: Connection
) -> None:
    expected = plain(filled, name, conditions, "created desc")
    owner, words = SCOPES[name].owner, QUERIES[conditions].get("words", "")
    assert owner
    for start in (0, 20):
        found = find_choices(Session(bind=filled), owner, [owner], words, start)
        assert [file.id for file in found] == expected[start : start + 20]


OLD = files_of(Owner("user", "plan-user-2"))


@contextmanager
def old_files(connection: Connection, number: int) -> Iterator[None]:
    """Give the oldest files to one user."""
    move = f"""
        UPDATE {owner_table} SET owner_type = 'user', owner_id = 'plan-user-2' WHERE file_id IN (
            SELECT 'plan-file-' || g FROM generate_series({FILES - number}, {FILES - 1}) AS g
        )
    """
    connection.exec_driver_sql("SAVEPOINT before")
    try:
        connection.exec_driver_sql(move)
        connection.exec_driver_sql(f"ANALYZE {owner_table}")
        yield
    finally:
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT before")


@pytest.mark.parametrize(("number", "sorts"), [(2000, True), (20_000, False)])
def test_few_old_files_are_read_by_id_and_many_in_their_order(
    number: int, sorts: bool, filled: Connection
) -> None:
    """No search reads all files of the portal to find the files of one owner, or sorts many."""
    with old_files(filled, number):
        plan = plans(filled, first_page(OLD, Query()))[-1]
    assert files_read(plan) <= (number if sorts else FILES)
    done = {node["Node Type"] for node in nodes(plan) if node.get("Actual Loops")}
    assert ("Sort" in done, "Hash Join" in done) == (sorts, False), json.dumps(plan, indent=1)


def test_much_to_collect_with_little_memory(filled: Connection) -> None:
    """Nearly half of all files, the oldest ones: PostgreSQL compares no file with each of them."""
    with old_files(filled, 49_000):
        filled.exec_driver_sql("SET LOCAL work_mem = '64kB'")
        filled.exec_driver_sql("SET LOCAL statement_timeout = '10s'")
        session = Session(bind=filled)
        found = search(session, OLD.conditions(session), Query(), 0, 2)
    assert found == (["plan-file-51002", "plan-file-51001"], MOST_COUNTED, False)


def test_a_search_without_the_indexes_reads_all(filled: Connection) -> None:
    """What the tests of files that are read would find."""
    drop_indexes(filled)
    found = plans(filled, first_page(ALL, Query("777")))
    create_indexes(filled)
    # PostgreSQL rounds the numbers of parallel processes
    assert sum(map(files_read, found)) >= 0.99 * FILES
