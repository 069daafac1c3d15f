"""kill -9 at any time may leave bytes without a row, but never a row without its bytes."""

from __future__ import annotations

import os
import random
import signal
import time
import uuid
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model

from ckanext.files.tests.support.console import run
from ckanext.files.tests.support.crash import fork, kill_at_the_commit, kill_now, was_killed
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.plain_storage import create, delete, stored
from ckanext.files.tests.support.probe_plugin import in_hold
from ckanext.files.tests.support.waiting import wait_for_the_dead
from ckanext.files.transaction import on_commit

pytestmark = pytest.mark.crash


def _rows() -> set[tuple[str, int]]:
    with engine().connect() as connection:
        query = "SELECT location, size FROM files_file WHERE storage = 'plain'"
        return {(row[0], row[1]) for row in connection.execute(sa.text(query))}


def _stored() -> set[tuple[str, int]]:
    return {(name, len(content)) for name, content in stored().items()}


def _create(content: bytes = b"content") -> str:
    return create(f"{uuid.uuid4()}.txt", content)


def test_upload_before_the_commit() -> None:
    assert was_killed(fork(lambda: (kill_at_the_commit(), _create())))
    assert not _rows()
    assert len(_stored()) == 1


@pytest.mark.parametrize("held", [True, False])
def test_delete_before_the_commit(held: bool) -> None:
    id_ = _create()

    def delete_file() -> None:
        kill_at_the_commit()
        in_hold(lambda: delete(id_)) if held else delete(id_)

    assert was_killed(fork(delete_file))
    assert len(_rows()) == 1
    assert _rows() == _stored()


def test_delete_after_the_commit() -> None:
    id_ = _create()
    assert was_killed(fork(lambda: (on_commit(kill_now), delete(id_))))
    assert not _rows()
    assert len(_stored()) == 1


def test_at_any_time(full_size: bool, record_property: Any) -> None:
    """A process that uploads, deletes and rolls back is killed at random."""
    kills = 100 if full_size else 10
    reader, done = os.pipe()
    for number in range(kills):
        pid = fork(lambda number=number: _work(random.Random(number), done))
        for _ in range(random.randint(5, 15)):
            os.read(reader, 1)
        time.sleep(random.uniform(0, 0.02))
        os.kill(pid, signal.SIGKILL)
        assert was_killed(pid)
        wait_for_the_dead()
        assert not _rows() - _stored()
    left = _stored() - _rows()
    assert len(left) <= kills
    code, said = run("check", "plain")
    assert code == bool(left)
    assert {line for line in said.splitlines() if "\t" in line} == {f"plain\t{f}" for f, _ in left}
    assert len(_rows()) >= kills
    record_property("bytes_without_a_row", len(left))


def _work(chance: random.Random, done: int) -> None:
    _create()  # one that stays
    mine: list[str] = []

    def keep() -> None:
        mine.append(_create(b"x" * chance.randint(1, 1000)))

    def remove() -> None:
        if mine:
            delete(mine.pop())

    def fail() -> None:
        _create(b"x" * chance.randint(1, 1000))
        if mine:
            delete(mine[-1])
        raise ZeroDivisionError

    def roll_back() -> None:
        with pytest.raises(ZeroDivisionError):
            in_hold(fail)
        model.Session.remove()

    while True:
        chance.choice([keep, lambda: in_hold(keep), roll_back, remove])()
        os.write(done, b".")
