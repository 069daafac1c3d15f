"""Random sequences of API calls against a small model of who owns what."""

from __future__ import annotations

import dataclasses
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from ckan.logic import NotAuthorized, ValidationError
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ckanext.files.capabilities import CORE_FILES
from ckanext.files.ownership.values import file_ids
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.effects import look
from ckanext.files.tests.support.form_plugins import DATASET_TYPE
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.planting import plant, plant_in_resource
from ckanext.files.tests.support.portal import Api, call, owners, shown

loaded = load_plugins("files", "files_test_forms")

NO_SUCH_FILE = "00000000-0000-4000-8000-000000000000"

Key = tuple[Any, ...]
Owner = tuple[str, str]


@dataclasses.dataclass(frozen=True)
class Person:
    name: str
    id: str
    organization: str
    """Only this person may edit its datasets."""


@dataclasses.dataclass
class File:
    owner: Owner
    pinned: bool = False


@dataclasses.dataclass
class Claim:
    """A place of a request that names a file."""

    key: Key
    file: str
    target: tuple[str, str | None]
    """What the place belongs to; None: it has no id yet."""

    pin: bool = True
    validated: bool = True
    """CKAN 2.12 does not validate resources that have not changed, CKAN 2.11 does."""

    stored: bool = False
    """The field has named the file before the request."""

    again: bool = False
    """The same, and no resource with an id says so."""


@dataclasses.dataclass
class Hand:
    """Who writes a request, and what is drawn for it."""

    person: Person
    home: set[Owner]
    data: Any
    used: set[str] = dataclasses.field(default_factory=set)


@dataclasses.dataclass
class Portal:
    """What the tests of one run share."""

    api: Api
    people: list[Person]


portals: list[Portal] = []


class Calls(RuleBasedStateMachine):
    """Two people with datasets of their own upload files and move them about."""

    def __init__(self) -> None:
        super().__init__()
        self.portal = portals[-1]
        self.files: dict[str, File] = {}
        self.editors: dict[str, Person] = {}
        self.count = 0

    # What people do

    @initialize()
    def begin(self) -> None:
        for person in self.portal.people:
            for _ in range(3):
                self.upload(person)
            dataset = portal.new_dataset(person.name, owner_org=person.organization)
            self.editors[dataset["id"]] = person

    people = st.sampled_from([0, 1])

    @rule(number=people)
    def uploads(self, number: int) -> None:
        self.upload(self.portal.people[number])

    # updates are what is interesting
    @precondition(lambda self: len(self.editors) < 4)
    @rule(number=people, data=st.data())
    def creates(self, number: int, data: Any) -> None:
        person = self.portal.people[number]
        hand = Hand(person, set(), data)
        request = {
            "type": DATASET_TYPE,
            "name": f"d-{uuid.uuid4()}",
            "owner_org": person.organization,
            **self.fields(hand),
            "resources": [self.new_resource(hand) for _ in range(data.draw(st.integers(0, 2)))],
        }
        self.save("package_create", person, request, set(), data)

    @precondition(lambda self: self.editors)
    @rule(data=st.data())
    def updates(self, data: Any) -> None:
        dataset_id = data.draw(st.sampled_from(list(self.editors)))
        person, before = self.editors[dataset_id], shown(dataset_id)
        hand = Hand(person, self.home(before), data)
        fields = self.fields(hand) if data.draw(st.booleans()) else {}
        resources = [self.changed(r, hand) for r in before["resources"]]
        kept = [r for r in resources if r is not None]
        kept += [self.new_resource(hand) for _ in range(data.draw(st.integers(0, 1)))]
        request = {
            **before,
            **fields,
            "title": self.new_title(),
            "resources": data.draw(st.permutations(kept)),
        }
        self.save("package_update", person, request, hand.home, data)

    @precondition(lambda self: self.editors)
    @rule(data=st.data())
    def patches_a_resource(self, data: Any) -> None:
        dataset_id = data.draw(st.sampled_from(list(self.editors)))
        before = shown(dataset_id)
        hypothesis.assume(before["resources"])
        resource = data.draw(st.sampled_from(before["resources"]))
        number = before["resources"].index(resource)
        person = self.editors[dataset_id]
        doc = self.any_file(Hand(person, self.home(before), data))
        changed = {**resource, "doc": doc, "name": self.new_title()}
        request = {**before, "resources": list(before["resources"])}
        request["resources"][number] = changed
        claims = self.claims(request, before)
        expected = self.expected_errors(person, claims, self.home(before))
        done, answer = self.call("resource_update", person, changed, data)
        if done:
            assert not expected
            self.settle(claims, self.home(before), shown(dataset_id))
        else:
            assert expected or self.left_behind(claims)
            # the errors of this resource only, or those of everything if it is another's
            assert set(answer) <= {"doc", "docs", "attachment", "loose", "several", "resources"}

    @precondition(lambda self: self.editors)
    @rule(data=st.data(), force=st.booleans(), pin=st.booleans())
    def transfers(self, data: Any, force: bool, pin: bool) -> None:
        file_id = data.draw(st.sampled_from([*self.files, NO_SUCH_FILE]))
        dataset = shown(data.draw(st.sampled_from(list(self.editors))))
        person = self.editors[dataset["id"]]
        if data.draw(st.integers(0, 4)) == 4:
            person = data.draw(st.sampled_from(self.portal.people))
        targets = [("package", dataset["id"])]
        targets += [("resource", r["id"]) for r in dataset["resources"]]
        target = data.draw(st.sampled_from(targets))
        request = {
            "id": file_id,
            "owner_type": target[0],
            "owner_id": target[1],
            "force": force,
            "pin": pin,
        }
        done, _ = self.call("files_transfer_ownership", person, request, data)
        allowed = self.editors[dataset["id"]] == person and self.may_move(
            person, file_id, self.home(dataset), force
        )
        assert done == allowed
        if done:
            file = self.files[file_id]
            file.owner, file.pinned = target, pin or (file.pinned and not force)

    @rule(data=st.data())
    def deletes(self, data: Any) -> None:
        hypothesis.assume(self.files)
        file_id = data.draw(st.sampled_from(list(self.files)))
        portal.delete_file(file_id)
        del self.files[file_id]

    @precondition(lambda self: self.editors)
    @rule(data=st.data())
    def plants(self, data: Any) -> None:
        """Something that no validator has seen comes into a field: it moves nothing."""
        dataset = shown(data.draw(st.sampled_from(list(self.editors))))
        file_id = data.draw(st.sampled_from([*self.files, NO_SUCH_FILE]))
        resources = [r for r in dataset["resources"] if not r.get("docs")]
        resource = data.draw(st.sampled_from([None, *resources]))
        if resource:
            plant_in_resource(resource["id"], doc=file_id)
        else:
            plant("package", dataset["id"], attachment=file_id)

    # What must hold

    @invariant()
    def owners_are_those_of_the_model(self) -> None:
        expected = [(*file.owner, file.pinned) for file in self.files.values()]
        assert owners(*self.files) == expected

    # The calls

    def save(
        self, action: str, person: Person, request: dict[str, Any], home: set[Owner], data: Any
    ) -> None:
        before = shown(request["id"]) if "id" in request else {"resources": []}
        claims = self.claims(request, before)
        expected = self.expected_errors(person, claims, home)
        spoil = data.draw(st.integers(0, 9)) == 9
        sent = {**request, "version": "x" * 101} if spoil else request
        done, answer = self.call(action, person, sent, data)
        if done:
            assert not expected, expected
            self.editors[answer["id"]] = person
            self.settle(claims, home, answer)
            return
        found = set(_keys(answer)) - {("version",)}
        assert found == expected or (not expected and found <= self.left_behind(claims))
        assert found or spoil
        if "id" in request:
            assert shown(request["id"]) == before

    def call(
        self, action: str, person: Person, request: dict[str, Any], data: Any
    ) -> tuple[bool, Any]:
        """Return whether it was done, and the result or the errors."""
        over_http = data.draw(st.booleans())
        done, answer = (self.post if over_http else self.act)(action, person, request)
        hypothesis.event(f"{action} {'done' if done else 'refused'}")
        return done, answer

    def post(self, action: str, person: Person, request: dict[str, Any]) -> tuple[bool, Any]:
        status, answer = self.portal.api.post(action, person.name, **request)
        assert status in (200, 403, 409), answer
        if status == 200:
            return True, answer["result"]
        return False, {k: v for k, v in answer["error"].items() if k not in ("__type", "message")}

    def act(self, action: str, person: Person, request: dict[str, Any]) -> tuple[bool, Any]:
        try:
            return True, call(action, person.name, **request)
        except ValidationError as error:
            return False, error.error_dict
        except NotAuthorized:
            return False, {}

    # What is drawn

    def any_file(self, hand: Hand) -> str:
        """Draw a file, more often one that will do: one bad file spoils the whole request."""
        fine = [file for file in self.files if self.may_move(hand.person, file, hand.home)]
        files = {
            "none": [""],
            "fine": [file for file in fine if file not in hand.used],
            "used": [file for file in fine if file in hand.used],
            "bad": [*(file for file in self.files if file not in fine), NO_SUCH_FILE],
        }
        kinds = ["fine"] * 7 + ["none"] * 5 + ["bad", "used"]
        kind = hand.data.draw(st.sampled_from(kinds))
        file = hand.data.draw(st.sampled_from(files[kind] or [""]))
        hand.used.add(file)
        return file

    def fields(self, hand: Hand) -> dict[str, Any]:
        return {
            "attachment": self.any_file(hand),
            "loose": self.any_file(hand),
            "several": [self.any_file(hand) for _ in range(hand.data.draw(st.integers(0, 2)))],
        }

    def new_title(self) -> str:
        self.count += 1
        return f"title {self.count}"

    def new_resource(self, hand: Hand) -> dict[str, Any]:
        return {
            "url": "http://example.com",
            "name": self.new_title(),
            "doc": self.any_file(hand),
            "docs": [self.any_file(hand)] if hand.data.draw(st.booleans()) else [],
        }

    def changed(self, resource: dict[str, Any], hand: Hand) -> dict[str, Any] | None:
        kinds = st.sampled_from(["keep", "keep", "remove", "change", "forget the id"])
        kind = hand.data.draw(kinds)
        if kind == "remove":
            return None
        if kind == "change":
            return {**resource, "doc": self.any_file(hand), "name": self.new_title()}
        hand.used.add(resource.get("doc", ""))
        if kind == "forget the id":
            return {**self.new_resource(hand), "doc": resource.get("doc", "")}
        return resource

    # The model

    def upload(self, person: Person) -> None:
        self.files[portal.upload(person.name)[0]] = File(("user", person.id))

    def claims(self, request: dict[str, Any], before: dict[str, Any]) -> list[Claim]:
        """List what a request names, in the order in which CKAN validates it."""
        claims = [
            Claim((name,), file, ("package", request.get("id")), pin=name != "loose")
            for name in ("attachment", "loose", "several")
            for file in file_ids(request.get(name))
        ]
        claims += [
            Claim(
                ("resources", number, name),
                file,
                ("resource", resource.get("id")),
                validated=not CORE_FILES or resource not in before["resources"],
            )
            for number, resource in enumerate(request["resources"])
            for name in ("doc", "docs")
            for file in file_ids(resource.get(name))
        ]
        self.compare(claims, before)
        return claims

    def compare(self, claims: list[Claim], before: dict[str, Any]) -> None:
        """Mark what the request does not change, as often as it was there before."""
        stored = Counter(
            ("package", before.get("id"), name, file)
            for name in ("attachment", "loose", "several")
            for file in file_ids(before.get(name))
        )
        for resource in before["resources"]:
            for name in ("doc", "docs"):
                for file in file_ids(resource.get(name)):
                    stored["resource", resource["id"], name, file] += 1
                    stored["resource", None, name, file] += 1
        for claim in (claim for claim in claims if claim.validated):
            place = (*claim.target, claim.key[-1], claim.file)
            claim.stored = stored[place] > 0
            claim.again = claim.target == ("resource", None)
            stored[place] -= 1

    def is_unchanged(self, claim: Claim, home: set[Owner]) -> bool:
        """Return whether the field named the file before; new resources take files of old ones."""
        file = self.files.get(claim.file)
        return claim.stored and not (claim.again and file and file.owner in home)

    def is_dead(self, claim: Claim, home: set[Owner]) -> bool:
        """Return whether a place asks for nothing: it named the file before, without owning it."""
        file = self.files.get(claim.file)
        is_there = file is not None and file.owner == claim.target
        return not is_there and self.is_unchanged(claim, home)

    def expected_errors(self, person: Person, claims: list[Claim], home: set[Owner]) -> set[Key]:
        errors: set[Key] = set()
        first: dict[str, Claim] = {}
        for claim in claims:
            if not claim.validated or self.is_dead(claim, home):
                continue
            before = first.setdefault(claim.file, claim)
            if not self.may_move(person, claim.file, home):
                errors.add(claim.key)
            elif before is not claim and not all(
                self.is_unchanged(place, home) for place in (before, claim)
            ):
                stays = self.files[claim.file].owner == claim.target
                errors.add(before.key if stays else claim.key)
        return errors

    def settle(self, claims: list[Claim], home: set[Owner], after: dict[str, Any]) -> None:
        """A request was carried out: what it names anew belongs to it."""
        alive = [claim for claim in claims if not self.is_dead(claim, home)]
        for claim in (claim for claim in alive if claim.validated):
            file = self.files[claim.file]
            file.owner = _owner(claim.key, after)
            file.pinned = file.pinned or claim.pin

    def left_behind(self, claims: list[Claim]) -> set[Key]:
        """Places of files that a resource which has not changed goes on naming."""
        unseen = {claim.file for claim in claims if not claim.validated}
        return {claim.key for claim in claims if claim.validated and claim.file in unseen}

    def may_edit(self, person: Person, file: File) -> bool:
        owner_type, owner_id = file.owner
        if owner_type == "user":
            return owner_id == person.id
        if owner_type == "resource":
            # one that was removed is still there for a while
            owner_id = look("SELECT package_id FROM resource WHERE id = :id", id=owner_id)
        return self.editors.get(owner_id) == person

    def home(self, dataset: dict[str, Any]) -> set[Owner]:
        return {("package", dataset["id"])} | {("resource", r["id"]) for r in dataset["resources"]}

    def may_move(self, person: Person, file_id: str, home: set[Owner], force: bool = False) -> bool:
        file = self.files.get(file_id)
        if file is None:
            return False
        if file.owner in home and not force:
            return True
        return self.may_edit(person, file) and (force or not file.pinned)


def _owner(key: Key, dataset: dict[str, Any]) -> Owner:
    if key[0] == "resources":
        return ("resource", dataset["resources"][key[1]]["id"])
    return ("package", dataset["id"])


def _keys(errors: Any, start: Key = ()) -> Iterator[Key]:
    if isinstance(errors, dict):
        for name, inner in errors.items():
            yield from _keys(inner, (*start, name))
    elif isinstance(errors, list) and any(isinstance(item, dict) for item in errors):
        for number, item in enumerate(errors):
            yield from _keys(item, (*start, number))
    elif errors:
        yield start


@pytest.fixture(scope="module")
def two_people(loaded: Any) -> Iterator[None]:
    people = []
    for name in (portal.new_user(), portal.new_user()):
        user_id = call("user_show", None, id=name)["id"]
        people.append(Person(name, user_id, portal.organization_of(name)))
    portals.append(Portal(Api(loaded()), people))
    yield
    portals.pop()


@pytest.mark.usefixtures("two_people")
def test_random_calls(full_size: bool) -> None:
    run_state_machine_as_test(
        Calls,
        settings=hypothesis.settings(
            max_examples=200 if full_size else 10,
            stateful_step_count=40 if full_size else 20,
            # the same ones each time, unless there is time to look for others
            derandomize=not full_size,
            database=None,
            deadline=None,
            suppress_health_check=[
                hypothesis.HealthCheck.too_slow,
                hypothesis.HealthCheck.filter_too_much,
                hypothesis.HealthCheck.data_too_large,
            ],
            print_blob=True,
        ),
    )
