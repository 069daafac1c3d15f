"""Requests that want the same files at once: one wins, the others learn it on the field."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from ckan.logic import NotAuthorized, NotFound, ValidationError

from ckanext.files.tests.support import portal
from ckanext.files.tests.support.effects import engine, look
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.planting import HAS_TABLE
from ckanext.files.tests.support.portal import (
    PINNED,
    TWICE,
    UNKNOWN,
    call,
    error_at,
    new_dataset,
    owner,
    owners,
    shown,
    upload,
)
from ckanext.files.tests.support.races import race
from ckanext.files.tests.support.waiting import wait_for_a_lock

loaded = load_plugins(
    "files", "files_test_forms", "files_test_group_forms", "files_test_organization_forms"
)
pytestmark = pytest.mark.crash


class Size(NamedTuple):
    threads: int
    rounds: int


@pytest.fixture(scope="module")
def size(full_size: bool) -> Size:
    return Size(8, 50) if full_size else Size(4, 4)


@pytest.fixture(scope="module")
def app(loaded: Any) -> Any:
    return loaded()


@pytest.fixture(scope="module")
def users(loaded: Any, size: Size) -> list[str]:
    """Sysadmins, so that files of each other are for all of them to use."""
    return [portal.new_user(sysadmin=True) for _ in range(size.threads)]


@pytest.fixture(scope="module")
def datasets(users: list[str]) -> list[dict[str, Any]]:
    return [new_dataset(user) for user in users]


@pytest.fixture(autouse=True)
def without_deadlocks(loaded: Any) -> Any:
    query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    before = look(query)
    yield
    assert look(query) == before


def winners(outcomes: list[Any], *keys: list[Any]) -> list[int]:
    """Return who has won; the others must have been refused on one of these fields."""
    won = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, dict)]
    for outcome in (o for number, o in enumerate(outcomes) if number not in won):
        assert isinstance(outcome, ValidationError), repr(outcome)
        errors = outcome.error_dict
        fields = [key for key in keys if key[0] in errors]
        assert set(errors) == {key[0] for key in fields}, errors
        for key in fields:
            sentence = error_at({key[0]: errors[key[0]]}, key)
            assert any(known in sentence for known in (PINNED, TWICE, UNKNOWN)), errors
    return won


@pytest.mark.parametrize("action", ["package_create", "package_update", "resource_create"])
def test_one_file(
    action: str, app: Any, size: Size, users: list[str], datasets: list[dict[str, Any]]
) -> None:
    for _ in range(size.rounds):
        (file,) = upload(users[0])
        calls: list[Callable[[], Any]] = []
        for user, dataset in zip(users, datasets, strict=True):
            if action == "package_create":
                calls.append(partial(new_dataset, user, attachment=file))
            elif action == "package_update":
                data = {**shown(dataset["id"]), "attachment": file}
                calls.append(partial(call, action, user, **data))
            else:
                data = {"package_id": dataset["id"], "url": "http://example.com", "doc": file}
                calls.append(partial(call, action, user, **data))
        outcomes = race(app, calls)
        (winner,) = winners(outcomes, ["doc"] if action == "resource_create" else ["attachment"])
        owner_type = "resource" if action == "resource_create" else "package"
        assert owner(file) == (owner_type, outcomes[winner]["id"], True)


def test_resources_of_one_dataset(app: Any, size: Size, users: list[str]) -> None:
    dataset = new_dataset(users[0])
    for _ in range(size.rounds):
        (file,) = upload(users[0])
        data = {"package_id": dataset["id"], "url": "http://example.com", "doc": file}
        outcomes = race(app, [partial(call, "resource_create", user, **data) for user in users])
        (winner,) = winners(outcomes, ["doc"])
        assert owner(file) == ("resource", outcomes[winner]["id"], True)
        named = [r["id"] for r in shown(dataset["id"])["resources"] if r.get("doc") == file]
        assert named == [outcomes[winner]["id"]]


def test_overlapping_lists_in_different_orders(
    app: Any, size: Size, users: list[str], datasets: list[dict[str, Any]]
) -> None:
    """Each takes some of the files, in an order of its own, divided among two fields."""
    chance = random.Random(1)
    for _ in range(size.rounds):
        files = upload(users[0], 6)
        wanted = [chance.sample(files, 4) for _ in users]
        calls = []
        for user, dataset, some in zip(users, datasets, wanted, strict=True):
            data = {**shown(dataset["id"]), "several": some[:2], "several_as_text": some[2:]}
            calls.append(partial(call, "package_update", user, **data))
        outcomes = race(app, calls)
        won = _winners_of_lists(outcomes)
        assert won
        expected: dict[str, Any] = {}
        for number in won:
            assert not expected.keys() & set(wanted[number]), "a file was won twice"
            expected |= dict.fromkeys(wanted[number], ("package", datasets[number]["id"], True))
        user_id = call("user_show", users[0], id=users[0])["id"]
        assert owners(*files) == [expected.get(f, ("user", user_id, False)) for f in files]


def _winners_of_lists(outcomes: list[Any]) -> list[int]:
    won = []
    for number, outcome in enumerate(outcomes):
        if isinstance(outcome, ValidationError):
            assert set(outcome.error_dict) <= {"several", "several_as_text"}
        else:
            assert isinstance(outcome, dict), repr(outcome)
            won.append(number)
    return won


def test_lists_that_move_within_one_dataset(app: Any, size: Size, users: list[str]) -> None:
    """A request that names a file in a resource that another one has just made is refused."""
    files = upload(users[0], 6)
    dataset = new_dataset(users[0], several=files[:3], several_as_text=files[3:])
    chance = random.Random(2)
    for _ in range(size.rounds):
        calls = []
        for user in users:
            some = chance.sample(files, 6)
            data = {
                **shown(dataset["id"]),
                "several": some[:3],
                "several_as_text": [],
                "resources": [{"url": "http://example.com", "docs": some[3:]}],
            }
            calls.append(partial(call, "package_update", user, **data))
        outcomes = race(app, calls)
        assert any(isinstance(outcome, dict) for outcome in outcomes)
        for outcome in outcomes:
            if isinstance(outcome, ValidationError):
                assert set(outcome.error_dict) <= {"several", "resources"}
            else:
                assert isinstance(outcome, dict), repr(outcome)
        ids = {r["id"] for r in shown(dataset["id"])["resources"]} | {dataset["id"]}
        assert {owner[1] for owner in owners(*files)} <= ids


def test_claimed_and_deleted_at_once(
    app: Any, size: Size, users: list[str], datasets: list[dict[str, Any]]
) -> None:
    """CKAN deletes the owner before the file: no circle, in either order."""
    for _ in range(size.rounds):
        status = portal.new_file(users[0])
        data = {**shown(datasets[0]["id"]), "attachment": status}
        claimed, deleted = race(
            app,
            [
                partial(call, "package_update", users[0], **data),
                partial(call, "file_delete", users[1], id=status),
            ],
        )
        assert isinstance(deleted, (dict, NotFound)), repr(deleted)
        if isinstance(claimed, ValidationError):
            assert UNKNOWN in error_at(claimed.error_dict, ["attachment"])
        assert owner(status) is None


def test_action_and_validator_at_once(
    app: Any, size: Size, users: list[str], datasets: list[dict[str, Any]]
) -> None:
    for _ in range(size.rounds):
        (file,) = upload(users[0])
        calls: list[Callable[[], Any]] = [
            partial(
                call,
                "files_transfer_ownership",
                user,
                id=file,
                owner_type="package",
                owner_id=dataset["name"],
                pin=True,
            )
            for user, dataset in zip(users[1:], datasets[1:], strict=True)
        ]
        data = {**shown(datasets[0]["id"]), "attachment": file}
        outcomes = race(app, [partial(call, "package_update", users[0], **data), *calls])
        won = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, dict)]
        lost = [outcome for n, outcome in enumerate(outcomes) if n not in won]
        assert len(won) == 1
        assert all(isinstance(o, (ValidationError, NotAuthorized)) for o in lost), lost
        assert owner(file) == ("package", datasets[won[0]]["id"], True)


@pytest.mark.parametrize("owner_type", ["package", "resource", "group", "organization", "user"])
def test_transferred_and_purged_at_once(owner_type: str, app: Any, users: list[str]) -> None:
    """What is gone when the transfer gets there owns nothing, and no file stays locked."""
    (file,) = upload(users[0])
    before = owner(file)
    gone, statements = _something(owner_type, users[0])
    data = {"id": file, "owner_type": owner_type, "owner_id": gone}
    give = partial(call, "files_transfer_ownership", users[0], **data)
    outcome = _while_purged(app, gone, statements, give)
    assert isinstance(outcome, ValidationError), repr(outcome)
    assert error_at(outcome.error_dict, ["owner_id"]) == "Does not exist"
    assert owner(file) == before
    call("file_pin", users[0], id=file)


@pytest.mark.parametrize(
    ("owner_type", "field"),
    [
        ("user", "avatar"),
        ("organization", "for_organization"),
        ("organization", "logo"),
        ("group", "logo"),
    ],
)
def test_claimed_and_purged_at_once(
    owner_type: str, field: str, app: Any, users: list[str]
) -> None:
    """The same for what a validator has claimed: the action fails."""
    (file,) = upload(users[0])
    before = owner(file)
    gone, statements = _something(owner_type, users[0])
    data: dict[str, Any] = {"id": gone, field: file}
    if owner_type == "user":
        data["email"] = call("user_show", users[0], id=gone)["email"]
    save = partial(call, f"{owner_type}_update", users[0], **data)
    if field == "logo":
        shown_group = call(f"{owner_type}_show", users[0], id=gone)
        save = partial(call, f"{owner_type}_update", users[0], **{**shown_group, **data})
    elif field == "for_organization":
        save = partial(new_dataset, users[0], owner_org=gone, for_organization=file)
    outcome = _while_purged(app, gone, statements, save)
    assert isinstance(outcome, Exception), repr(outcome)
    if owner_type == "user":  # for others CKAN itself fails, as it writes rows that refer to them
        assert isinstance(outcome, ValidationError), repr(outcome)
        assert "cannot be told what it would belong to" in error_at(outcome.error_dict, [field])
    assert owner(file) == before
    call("file_pin", users[0], id=file)


def _while_purged(app: Any, gone: str, statements: list[str], save: Callable[[], Any]) -> Any:
    """Purge something as soon as a call waits for it; return what comes of the call."""

    def purge() -> None:
        with engine().begin() as connection:
            for statement in statements:
                connection.execute(sa.text(statement), {"id": gone})
            deleted.set()
            wait_for_a_lock()

    def wait_and_save() -> Any:
        deleted.wait(30)
        return save()

    deleted = threading.Event()
    purged, outcome = race(app, [purge, wait_and_save])
    assert purged is None, repr(purged)
    return outcome


def _something(owner_type: str, user: str) -> tuple[str, list[str]]:
    """Make an owner; return its id and what purges it."""
    if owner_type == "package":
        rows = ["DELETE FROM package_extra WHERE package_id = :id"] if HAS_TABLE else []
        return new_dataset(user)["id"], [*rows, "DELETE FROM package WHERE id = :id"]
    if owner_type == "resource":
        resources = [{"url": "http://example.com"}]
        (made,) = new_dataset(user, resources=resources)["resources"]
        return made["id"], ["DELETE FROM resource WHERE id = :id"]
    if owner_type == "user":
        name = portal.new_user()
        id_ = call("user_show", user, id=name)["id"]
        return id_, ['DELETE FROM "user" WHERE id = :id']
    name = f"g-{uuid.uuid4()}"
    made = call(f"{owner_type}_create", user, name=name, type=f"files-{owner_type}", title="x")
    return made["id"], [
        "DELETE FROM member WHERE group_id = :id",
        'DELETE FROM "group" WHERE id = :id',
    ]
