"""kill -9 at any time: bytes may be left without a row, but never a row without its bytes."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model
from ckan.common import config
from sqlalchemy import event

from ckanext.files.backport.storage import storages
from ckanext.files.tests.cli.console import run
from ckanext.files.tests.crash import fork, kill_now, was_killed
from ckanext.files.tests.effects import engine, look
from ckanext.files.tests.loaded import plugins_loaded
from ckanext.files.transaction import on_commit

pytestmark = pytest.mark.crash

_KILLED = "ckan.files.storage.killed"


@pytest.fixture(scope="module", autouse=True)
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    options = {
        "type": "ckan:fs",
        "path": str(tmp_path_factory.mktemp("killed")),
        "location_transformers": "uuid4",
    }
    killed = {f"{_KILLED}.{name}": value for name, value in options.items()}
    with plugins_loaded("files", "files_test_probe", **killed):
        yield
    storages.reset()


@pytest.fixture(autouse=True)
def empty() -> Iterator[None]:
    yield
    with engine().begin() as connection:
        connection.execute(sa.text("DELETE FROM files_file WHERE storage = 'killed'"))
    for file in _folder().iterdir():
        file.unlink()


def _folder() -> Path:
    return Path(config[f"{_KILLED}.path"])


def _stored() -> set[tuple[str, int]]:
    return {(file.name, file.stat().st_size) for file in _folder().iterdir()}


def _rows() -> set[tuple[str, int]]:
    with engine().connect() as connection:
        query = "SELECT location, size FROM files_file WHERE storage = 'killed'"
        return {(row[0], row[1]) for row in connection.execute(sa.text(query))}


def _call(action: str, **data: Any) -> Any:
    return tk.get_action(action)({"ignore_auth": True}, data)


def _create(content: bytes = b"content") -> str:
    return _call("file_create", name="a.txt", storage="killed", upload=content)["id"]


def _delete(id_: str) -> None:
    _call("file_delete", id=id_)


def _within_an_action(do: Callable[[], Any]) -> None:
    tk.get_action("probe_eager")({}, {"do": lambda _: do()})


def _die_at_commit() -> None:
    event.listen(engine(), "commit", kill_now)


def test_upload_before_the_commit() -> None:
    assert was_killed(fork(lambda: (_die_at_commit(), _create())))
    assert not _rows()
    assert len(_stored()) == 1


@pytest.mark.parametrize("held", [True, False])
def test_delete_before_the_commit(held: bool) -> None:
    id_ = _create()

    def delete() -> None:
        _die_at_commit()
        if held:
            _within_an_action(lambda: _delete(id_))
        else:
            _delete(id_)

    assert was_killed(fork(delete))
    assert len(_rows()) == 1
    assert _rows() == _stored()


def test_delete_after_the_commit() -> None:
    id_ = _create()
    assert was_killed(fork(lambda: (on_commit(kill_now), _delete(id_))))
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
        # what was killed may still hold its connection for a moment
        assert not _rows() - _stored()
    left = _stored() - _rows()
    assert len(left) <= kills
    code, said = run("check", "killed")
    assert code == bool(left)
    assert {line for line in said.splitlines() if "\t" in line} == {f"killed\t{f}" for f, _ in left}
    assert look("SELECT count(*) FROM files_file WHERE storage = 'killed'")
    record_property("kills", kills)
    record_property("bytes_without_a_row", len(left))


def _work(chance: random.Random, done: int) -> None:
    mine: list[str] = []
    while True:
        content = b"x" * chance.randint(1, 1000)
        work = chance.choice([_keep, _keep_in_an_action, _roll_back, _remove])
        work(mine, content)
        os.write(done, b".")


def _keep(mine: list[str], content: bytes) -> None:
    mine.append(_create(content))


def _keep_in_an_action(mine: list[str], content: bytes) -> None:
    _within_an_action(lambda: _keep(mine, content))


def _roll_back(mine: list[str], content: bytes) -> None:
    def fail() -> None:
        _create(content)
        if mine:
            _delete(mine[-1])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _within_an_action(fail)
    model.Session.remove()


def _remove(mine: list[str], content: bytes) -> None:
    if mine:
        _delete(mine.pop())
