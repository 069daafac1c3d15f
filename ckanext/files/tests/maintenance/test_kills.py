"""kill -9 at each point of a move: each row names its bytes, and the job goes on.

``acceptance/background/test_maintenance.py`` kills real workers at any time.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model
from sqlalchemy import event

from ckanext.files.background import schema
from ckanext.files.background.testing import TasksManager
from ckanext.files.maintenance.tasks import delete_unattached, move_storage, remove_strays
from ckanext.files.store.models import file_table
from ckanext.files.tests.support import maintained_site as site
from ckanext.files.tests.support.console import run as run_command
from ckanext.files.tests.support.crash import fork, kill_at_the_commit, kill_now, was_killed
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.users import new_user
from ckanext.files.tests.support.waiting import wait_for_the_dead
from ckanext.files.transaction.session import HeldSession

pytestmark = pytest.mark.crash

_JOBS = f"{schema.SCHEMA}.procrastinate_jobs"


@pytest.fixture
def contents() -> dict[str, bytes]:
    """The content of each of some files, by their ids."""
    user, chance = new_user(sysadmin=True), random.Random(7)
    contents = [chance.randbytes(chance.choice((0, 10, 1000, 600_000))) for _ in range(9)]
    return {site.upload(user, content): content for content in contents}


def _check(contents: dict[str, bytes]) -> set[str]:
    """Check that each row names the bytes of its file; return the places that rows name."""
    bytes_of = {name: site.stored(name) for name in ("here", "there")}
    with engine().connect() as connection:
        columns = file_table.c
        mine = sa.select(columns.id, columns.storage, columns.location)
        rows = connection.execute(mine.where(columns.storage.in_(list(bytes_of)))).all()
    assert {id_ for id_, _, _ in rows} == set(contents)
    for id_, storage, location in rows:
        assert bytes_of[storage][location] == contents[id_]
    return {f"{storage}\t{location}" for _, storage, location in rows}


def _rescue() -> None:
    """Requeue the jobs of killed processes, as a worker does."""
    wait_for_the_dead()
    with engine().begin() as connection:
        dead = f"SELECT DISTINCT worker_id FROM {_JOBS} WHERE status = 'doing'"
        for worker_id in connection.execute(sa.text(dead)).scalars().all():
            take = f"SELECT {schema.SCHEMA}.files_release_jobs(:worker, NULL, NULL, NULL)"
            connection.execute(sa.text(take), {"worker": worker_id})


def _clean_up(tasks: TasksManager) -> None:
    for dry_run in (False, True):
        said = site.run(tasks, remove_strays, ["here", "there"], dry_run=dry_run)
        site.run_put_off_jobs(tasks)
    assert said == "nothing to do"


def _die_in(storage: str, method: str, number: int, *, halfway: bool = False) -> None:
    """Be killed after a call of a method, or halfway of an upload."""
    calls = itertools.count(1)

    def die(call: Any, *args: Any) -> Any:
        if next(calls) < number:
            return call(*args)
        if halfway:
            (site.folder_of(storage) / args[0]).write_bytes(b"half")
        else:
            call(*args)
        return kill_now()

    site.intercept(pytest.MonkeyPatch(), storage, method, die)


def _after_switches(number: int, listen: Callable[[], Any]) -> None:
    """Call a function after a number of steps have switched rows."""
    seen: list[str] = []

    def sending(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if f"UPDATE {file_table} AS file" in statement:
            seen.append(statement)
            if len(seen) == number:
                listen()

    event.listen(engine(), "after_cursor_execute", sending)


def _die_after_the_commit(number: int) -> None:
    def after_commit(session: Any) -> None:
        if not isinstance(session, HeldSession) and not session.get_nested_transaction():
            kill_now()

    _after_switches(number, lambda: event.listen(model.Session, "after_commit", after_commit))


@pytest.mark.parametrize(
    ("die", "number", "moved", "left"),
    [
        (partial(_die_in, "there", "upload", halfway=True), 5, 3, 2),
        (partial(_die_in, "there", "upload"), 5, 3, 2),
        (partial(_after_switches, listen=kill_now), 2, 3, 3),
        (partial(_after_switches, listen=kill_at_the_commit), 2, 3, 3),
        (_die_after_the_commit, 2, 6, 0),
        (partial(_die_in, "here", "remove"), 2, 3, 0),
    ],
    ids=["in-upload", "after-upload", "at-switch", "at-commit", "after-commit", "after-removal"],
)
def test_at_a_certain_time(
    tasks: TasksManager,
    contents: dict[str, bytes],
    die: Callable[[int], None],
    number: int,
    moved: int,
    left: int,
) -> None:
    """:param left: copies without a row, which the command finds."""
    job = move_storage.delay("here", "there", dry_run=False, keep_seconds=0, batch=3)
    model.Session.commit()
    assert was_killed(fork(lambda: (die(number), tasks.run_pending_jobs())))
    places = _check(contents)
    assert sum(place.startswith("there") for place in places) == moved
    assert len(site.stored("there")) == moved + left
    code, said = run_command("check", "there")
    assert code == bool(left)
    assert "Rows without bytes: 0" in said
    assert f"Bytes without a row: {left}" in said
    _rescue()
    tasks.run_pending_jobs()
    assert site.outcome(job.id)[:2] == ("succeeded", "9 moved")
    assert site.steps_of(job.id) == 4
    assert site.stored("here") == {}
    assert len(site.stored("there")) == 9 + left
    _clean_up(tasks)
    assert len(_check(contents)) == len(site.stored("there")) == 9


def test_deletion(tasks: TasksManager, contents: dict[str, bytes]) -> None:
    """The rows are deleted at once, their bytes when the job has ended."""
    delete_unattached.delay(dry_run=False)
    model.Session.commit()
    assert was_killed(fork(lambda: (_die_in("here", "remove", 4), tasks.run_pending_jobs())))
    _check({})
    assert len(site.stored("here")) == 5
    _rescue()
    tasks.run_pending_jobs()
    assert site.stored("here") == {}
    assert not tasks.failed_jobs
