"""Saves that withdraw a file while others want it, and saves whose process is killed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model
from ckan.logic import NotAuthorized, NotFound, ValidationError

from ckanext.files.capabilities import CORE_FILES
from ckanext.files.store.storages import get_storage
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.crash import kill_at_each
from ckanext.files.tests.support.effects import look
from ckanext.files.tests.support.races import race, waiting
from ckanext.files.tests.support.users import call, new_user, shown

pytestmark = pytest.mark.crash

KEY = "files_withdrawn"


@pytest.fixture(scope="module")
def rounds(full_size: bool) -> int:
    return 50 if full_size else 5


@pytest.fixture(scope="module")
def users(loaded: Any) -> list[str]:
    """Sysadmins, so that files of each other are for all of them to use."""
    return [new_user(sysadmin=True) for _ in range(4)]


@pytest.fixture(autouse=True)
def without_deadlocks(loaded: Any) -> Iterator[None]:
    query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    before = look(query)
    yield
    assert look(query) == before


def withdraw(user: str, dataset: dict[str, Any], then: str, *files: str, **fields: Any) -> Any:
    """Return a save that takes files out of the fields of a dataset."""
    data = {**dataset, "attachment": "", "several": [], **fields}
    data[KEY] = [{"id": file, "then": then} for file in files]
    return partial(call, "package_update", user, **data)


def won(outcomes: list[Any], *fields: str) -> list[int]:
    """Return which calls have succeeded; the others must have an error on one of these fields."""
    for error in (outcome for outcome in outcomes if isinstance(outcome, Exception)):
        assert isinstance(error, (ValidationError, NotAuthorized, NotFound)), repr(error)
        if isinstance(error, ValidationError):
            assert set(error.error_dict) <= {*fields, "force"}, error.error_dict
    return [n for n, outcome in enumerate(outcomes) if not isinstance(outcome, Exception)]


def test_different_words_at_once(app: Any, rounds: int, users: list[str]) -> None:
    for _ in range(rounds):
        (file,) = portal.upload(users[0])
        dataset = portal.new_dataset(users[0], attachment=file)
        calls = [withdraw(users[0], dataset, "give_back", file)]
        calls += [withdraw(user, dataset, "delete", file) for user in users[1:]]
        (winner,) = won(race(app, calls), KEY)
        owner = portal.owner(file)
        assert owner is None if winner else owner[0] == "user"
        assert shown(dataset["id"])["attachment"] == ""


@pytest.mark.parametrize("then", ["give_back", "delete"])
def test_transferred_or_deleted_at_once(then: str, app: Any, rounds: int, users: list[str]) -> None:
    other = portal.new_dataset(users[1])
    for _ in range(rounds):
        (file,) = portal.upload(users[0])
        dataset = portal.new_dataset(users[0], attachment=file)
        target = {"owner_type": "package", "owner_id": other["id"], "force": True}
        calls = [
            withdraw(users[0], dataset, then, file),
            partial(call, "files_transfer_ownership", users[1], id=file, **target),
            partial(call, "file_delete", users[2], id=file),
        ]
        outcomes = race(app, calls)
        winners = won(outcomes, KEY)
        owner = portal.owner(file)
        if isinstance(outcomes[2], dict):
            assert owner is None
        assert bool(shown(dataset["id"])["attachment"]) == (0 not in winners)


def test_named_by_another_save_at_once(app: Any, rounds: int, users: list[str]) -> None:
    """No field ever names a file that was deleted."""
    for _ in range(rounds):
        (file,) = portal.upload(users[0])
        dataset = portal.new_dataset(users[0], second=file, resources=[portal.resource()])
        kept = portal.update(users[0], dataset, second="")
        named = partial(call, "package_update", users[1], **{**kept, "attachment": file})
        in_resource = {"package_id": kept["id"], **portal.resource(doc=file)}
        del kept["resources"]
        withdrawal = {**kept, KEY: [{"id": file, "then": "delete"}]}
        calls = [
            partial(call, "package_update", users[0], **withdrawal),
            named,
            partial(call, "resource_create", users[2], **in_resource),
        ]
        won(race(app, calls), KEY, "attachment", "doc")
        if portal.owner(file) is None:
            assert file not in str(shown(dataset["id"]))


def test_named_by_a_save_that_has_not_committed_yet(users: list[str]) -> None:
    """Also when the withdrawal changes nothing else, and the file has its owner already."""
    (file,) = portal.upload(users[0])
    dataset = portal.new_dataset(users[0], second=file)
    kept = portal.update(users[0], dataset, second="")
    context: Any = {"user": users[1], "defer_commit": True}
    tk.get_action("package_update")(context, {**kept, "attachment": file})
    words = [{"id": file, "then": "delete"}]
    with waiting(partial(call, "package_update", users[0], **kept, files_withdrawn=words)) as waits:
        model.Session.commit()
    # CKAN 2.11 saves all fields of the dataset as they were sent, CKAN 2.12 those that have changed
    assert ("is still in use here" in str(waits.exception())) == CORE_FILES
    assert (file in str(shown(dataset["id"]))) == CORE_FILES == bool(portal.owner(file))


def test_claims_and_withdrawals_in_a_circle(app: Any, rounds: int, users: list[str]) -> None:
    """Each save withdraws what the next one claims."""
    chance = random.Random(3)
    datasets = [portal.new_dataset(user) for user in users]
    for _ in range(rounds):
        files = portal.upload(users[0], len(users))
        for user, dataset, file in zip(users, datasets, files, strict=True):
            target = {"owner_type": "package", "owner_id": dataset["id"]}
            call("files_transfer_ownership", user, id=file, **target)
        order = chance.sample(range(len(users)), len(users))
        calls: list[Callable[[], Any]] = []
        for number, dataset in enumerate(datasets):
            mine, other = files[number], files[order[number]]
            fields = {"several": [other]} if other != mine else {}
            calls.append(withdraw(users[number], dataset, "give_back", mine, **fields))
        won(race(app, calls), KEY, "several")


def test_killed_at_each_statement(users: list[str]) -> None:
    """Nothing of the save or all of it: the title, both owners, and the bytes."""
    back, gone = portal.new_file(users[0]), portal.new_file(users[0])
    dataset = portal.new_dataset(users[0], attachment=back, several=[gone])
    location = look(f"SELECT location FROM {portal.FILES} WHERE id = :id", id=gone)
    data = {**dataset, "title": "after", "attachment": "", "several": []}
    data[KEY] = [{"id": back, "then": "give_back"}, {"id": gone, "then": "delete"}]
    before = portal.owners(back, gone)

    def state() -> tuple[Any, ...]:
        has_bytes = location in map(str, get_storage("default").scan())
        title = look("SELECT title FROM package WHERE id = :id", id=dataset["id"])
        return title == "after", portal.owners(back, gone) != before, not has_bytes

    def check() -> None:
        # a kill after the commit may leave bytes without a row, never a row without bytes
        assert state() in ((False, False, False), (True, True, False))

    def save() -> None:
        call("package_update", users[0], **data)

    assert state() == (False, False, False)
    assert kill_at_each(("before_cursor_execute", "commit"), save, check) >= 10
    assert state()[:2] == (True, True)
