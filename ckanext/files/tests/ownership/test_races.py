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
from ckanext.files.tests.support.form_plugins import DATASET_TYPE
from ckanext.files.tests.support.planting import HAS_TABLE
from ckanext.files.tests.support.races import race
from ckanext.files.tests.support.users import call, new_user, shown
from ckanext.files.tests.support.waiting import wait_for_a_lock

pytestmark = pytest.mark.crash

ONE_DATASET = "resource_create in one dataset"
PLACES = ("package_create", "package_update", "resource_create", ONE_DATASET)


class Size(NamedTuple):
    threads: int
    rounds: int


@pytest.fixture(scope="module")
def size(full_size: bool) -> Size:
    return Size(8, 50) if full_size else Size(4, 4)


@pytest.fixture(scope="module")
def users(loaded: Any, size: Size) -> list[str]:
    """Sysadmins, so that files of each other are for all of them to use."""
    return [new_user(sysadmin=True) for _ in range(size.threads)]


@pytest.fixture(scope="module")
def datasets(users: list[str]) -> list[dict[str, Any]]:
    return [portal.new_dataset(user) for user in users]


@pytest.fixture(autouse=True)
def without_deadlocks(loaded: Any) -> Any:
    query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    before = look(query)
    yield
    assert look(query) == before


def winners(outcomes: list[Any], *fields: str) -> list[int]:
    """Return who has won; the others must have been refused on one of these fields."""
    won = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, dict)]
    for outcome in (o for number, o in enumerate(outcomes) if number not in won):
        assert isinstance(outcome, ValidationError), repr(outcome)
        assert set(outcome.error_dict) <= set(fields), outcome.error_dict
        if len(fields) == 1:
            sentence = portal.error_at(outcome.error_dict, fields)
            assert any(
                known in sentence for known in (portal.PINNED, portal.TWICE, portal.UNKNOWN)
            ), sentence
    assert won
    return won


@pytest.mark.parametrize("place", PLACES)
def test_one_file(
    place: str, app: Any, size: Size, users: list[str], datasets: list[dict[str, Any]]
) -> None:
    action = place.split()[0]
    field = "doc" if action == "resource_create" else "attachment"
    wanting = datasets[:1] * len(users) if place == ONE_DATASET else datasets
    for _ in range(size.rounds):
        (file,) = portal.upload(users[0])
        calls = []
        for user, dataset in zip(users, wanting, strict=True):
            data: dict[str, Any] = {
                "package_create": {"type": DATASET_TYPE, "name": f"d-{uuid.uuid4()}"},
                "package_update": shown(dataset["id"]),
                "resource_create": {"package_id": dataset["id"], **portal.resource()},
            }[action]
            calls.append(partial(call, action, user, **{**data, field: file}))
        outcomes = race(app, calls)
        (winner,) = winners(outcomes, field)
        won = outcomes[winner]
        assert portal.owner(file) == (action.split("_")[0], won["id"], True)
        if place == ONE_DATASET:
            resources = shown(won["package_id"])["resources"]
            assert [one["id"] for one in resources if one.get("doc") == file] == [won["id"]]


def test_overlapping_lists_in_different_orders(
    app: Any, size: Size, users: list[str], datasets: list[dict[str, Any]]
) -> None:
    """Each takes some of the files, in an order of its own, divided among two fields."""
    chance = random.Random(1)
    user_id = call("user_show", users[0], id=users[0])["id"]
    for _ in range(size.rounds):
        files = portal.upload(users[0], 6)
        wanted = [chance.sample(files, 4) for _ in users]
        calls = []
        for user, dataset, some in zip(users, datasets, wanted, strict=True):
            data = {**shown(dataset["id"]), "several": some[:2], "several_as_text": some[2:]}
            calls.append(partial(call, "package_update", user, **data))
        expected: dict[str, Any] = {}
        for number in winners(race(app, calls), "several", "several_as_text"):
            assert not expected.keys() & set(wanted[number]), "a file was won twice"
            expected |= dict.fromkeys(wanted[number], ("package", datasets[number]["id"], True))
        assert portal.owners(*files) == [expected.get(f, ("user", user_id, False)) for f in files]


def test_lists_that_move_within_one_dataset(app: Any, size: Size, users: list[str]) -> None:
    """A request that names a file in a resource that another one has just made is refused."""
    files = portal.upload(users[0], 6)
    dataset = portal.new_dataset(users[0], several=files[:3], several_as_text=files[3:])
    chance = random.Random(2)
    for _ in range(size.rounds):
        calls = []
        for user in users:
            some = chance.sample(files, 6)
            fields = {"several_as_text": [], "resources": [portal.resource(docs=some[3:])]}
            data = {**shown(dataset["id"]), **fields, "several": some[:3]}
            calls.append(partial(call, "package_update", user, **data))
        winners(race(app, calls), "several", "resources")
        ids = {r["id"] for r in shown(dataset["id"])["resources"]} | {dataset["id"]}
        assert {found[1] for found in portal.owners(*files)} <= ids


def test_claimed_and_deleted_at_once(
    app: Any, size: Size, users: list[str], datasets: list[dict[str, Any]]
) -> None:
    """CKAN deletes the owner before the file: no circle, in either order."""
    for _ in range(size.rounds):
        file = portal.new_file(users[0])
        data = {**shown(datasets[0]["id"]), "attachment": file}
        claim = partial(call, "package_update", users[0], **data)
        claimed, deleted = race(app, [claim, partial(call, "file_delete", users[1], id=file)])
        assert isinstance(deleted, (dict, NotFound)), repr(deleted)
        if isinstance(claimed, ValidationError):
            assert portal.UNKNOWN in portal.error_at(claimed.error_dict, ["attachment"])
        assert portal.owner(file) is None


def test_action_and_validator_at_once(
    app: Any, size: Size, users: list[str], datasets: list[dict[str, Any]]
) -> None:
    for _ in range(size.rounds):
        (file,) = portal.upload(users[0])
        data = {**shown(datasets[0]["id"]), "attachment": file}
        calls = [partial(call, "package_update", users[0], **data)]
        target = {"id": file, "owner_type": "package", "pin": True}
        for user, dataset in zip(users[1:], datasets[1:], strict=True):
            give = partial(call, "files_transfer_ownership", user, **target)
            calls.append(partial(give, owner_id=dataset["name"]))
        outcomes = race(app, calls)
        (won,) = (n for n, outcome in enumerate(outcomes) if isinstance(outcome, dict))
        lost = outcomes[:won] + outcomes[won + 1 :]
        assert all(isinstance(o, (ValidationError, NotAuthorized)) for o in lost), lost
        assert portal.owner(file) == ("package", datasets[won]["id"], True)


@pytest.mark.parametrize("owner_type", ["package", "resource", "group", "organization", "user"])
def test_transferred_and_purged_at_once(owner_type: str, app: Any, users: list[str]) -> None:
    """What is gone when the transfer gets there owns nothing, and no file stays locked."""
    (file,) = portal.upload(users[0])
    before = portal.owner(file)
    gone, purges = _new_owner(owner_type, users[0])
    data = {"id": file, "owner_type": owner_type, "owner_id": gone}
    give = partial(call, "files_transfer_ownership", users[0], **data)
    outcome = _while_purged(app, gone, purges, give)
    assert isinstance(outcome, ValidationError), repr(outcome)
    assert portal.error_at(outcome.error_dict, ["owner_id"]) == "Does not exist"
    assert portal.owner(file) == before
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
    (file,) = portal.upload(users[0])
    before = portal.owner(file)
    gone, purges = _new_owner(owner_type, users[0])
    data = {**call(f"{owner_type}_show", users[0], id=gone), field: file}
    save = partial(call, f"{owner_type}_update", users[0], **data)
    if field == "for_organization":
        save = partial(portal.new_dataset, users[0], owner_org=gone, for_organization=file)
    outcome = _while_purged(app, gone, purges, save)
    assert isinstance(outcome, Exception), repr(outcome)
    if owner_type == "user":  # for others CKAN itself fails, as it writes rows that refer to them
        assert isinstance(outcome, ValidationError), repr(outcome)
        assert portal.NO_OWNER in portal.error_at(outcome.error_dict, [field])
    assert portal.owner(file) == before
    call("file_pin", users[0], id=file)


def _while_purged(app: Any, gone: str, purges: list[str], save: Callable[[], Any]) -> Any:
    """Purge something as soon as a call waits for it; return what comes of the call."""

    def purge() -> None:
        with engine().begin() as connection:
            for statement in purges:
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


def _new_owner(owner_type: str, user: str) -> tuple[str, list[str]]:
    """Make an owner; return its id and what purges it."""
    table = "group" if owner_type == "organization" else owner_type
    purges = [f'DELETE FROM "{table}" WHERE id = :id']
    if owner_type == "package":
        extras = ["DELETE FROM package_extra WHERE package_id = :id"] if HAS_TABLE else []
        return portal.new_dataset(user)["id"], extras + purges
    if owner_type == "resource":
        return portal.new_dataset(user, resources=[portal.resource()])["resources"][0]["id"], purges
    if owner_type == "user":
        return call("user_show", user, id=new_user())["id"], purges
    data = {"name": f"g-{uuid.uuid4()}", "type": f"files-{owner_type}", "title": "x"}
    made = call(f"{owner_type}_create", user, **data)
    return made["id"], ["DELETE FROM member WHERE group_id = :id", *purges]
