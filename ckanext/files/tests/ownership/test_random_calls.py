"""Random sequences of API calls against a small model of who owns what."""

from __future__ import annotations

import dataclasses
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import hypothesis
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
from ckanext.files.tests.support.effects import look
from ckanext.files.tests.support.form_plugins import DATASET_TYPE
from ckanext.files.tests.support.planting import plant, plant_in_resource
from ckanext.files.tests.support.portal import (
    Api,
    call,
    delete_file,
    new_dataset,
    new_user,
    organization_of,
    owners,
    shown,
    upload,
)

NO_SUCH_FILE = "00000000-0000-4000-8000-000000000000"

Key = tuple[Any, ...]
Owner = tuple[str, str]


class Person(NamedTuple):
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


class Draft:
    """A request that a person writes, about a dataset as it was before; what is drawn for it."""

    def __init__(self, person: Person, data: Any, before: dict[str, Any] | None = None) -> None:
        self.person, self.draw, self.before = person, data.draw, before or {"resources": []}
        self.scope = _scope(before) if before else set()
        self.used: set[str] = set()

    def any_of(self, items: Any) -> Any:
        return self.draw(st.sampled_from(list(items)))

    def count(self, at_most: int) -> range:
        return range(self.draw(st.integers(0, at_most)))


def _scope(dataset: dict[str, Any]) -> set[Owner]:
    return {("package", dataset["id"]), *(("resource", r["id"]) for r in dataset["resources"])}


class Calls(RuleBasedStateMachine):
    """Two people with datasets of their own upload files and move them about."""

    def __init__(self, api: Api, people: list[Person]) -> None:
        super().__init__()
        self.api, self.people = api, people
        self.files: dict[str, File] = {}
        self.editors: dict[str, Person] = {}
        self.count = 0

    # What people do

    @initialize()
    def begin(self) -> None:
        for number, person in enumerate(self.people):
            for _ in range(3):
                self.uploads(number)
            dataset = new_dataset(person.name, owner_org=person.organization)
            self.editors[dataset["id"]] = person

    @rule(number=st.sampled_from([0, 1]))
    def uploads(self, number: int) -> None:
        person = self.people[number]
        self.files[upload(person.name)[0]] = File(("user", person.id))

    # updates are what is interesting
    @precondition(lambda self: len(self.editors) < 4)
    @rule(number=st.sampled_from([0, 1]), data=st.data())
    def creates(self, number: int, data: Any) -> None:
        draft = Draft(self.people[number], data)
        request = {
            "type": DATASET_TYPE,
            "name": f"d-{uuid.uuid4()}",
            "owner_org": draft.person.organization,
            **self.fields(draft),
            "resources": [self.new_resource(draft) for _ in draft.count(2)],
        }
        self.save("package_create", draft, request)

    @precondition(lambda self: self.editors)
    @rule(data=st.data())
    def updates(self, data: Any) -> None:
        draft = self.draft_of_update(data)
        fields = self.fields(draft) if draft.draw(st.booleans()) else {}
        resources = [self.changed(r, draft) for r in draft.before["resources"]]
        kept = [r for r in resources if r is not None]
        kept += [self.new_resource(draft) for _ in draft.count(1)]
        request = {**draft.before, **fields, "title": self.new_title()}
        request["resources"] = draft.draw(st.permutations(kept))
        self.save("package_update", draft, request)

    @precondition(lambda self: self.editors)
    @rule(data=st.data())
    def patches_a_resource(self, data: Any) -> None:
        draft = self.draft_of_update(data)
        resources = list(draft.before["resources"])
        hypothesis.assume(resources)
        number = draft.any_of(range(len(resources)))
        doc = self.any_file(draft)
        resources[number] = {**resources[number], "doc": doc, "name": self.new_title()}
        claims = self.claims({**draft.before, "resources": resources}, draft.before)
        expected = self.expected_errors(draft, claims)
        done, answer = self.call("resource_update", draft, resources[number])
        if done:
            assert not expected
            self.settle(claims, draft.scope, shown(draft.before["id"]))
        else:
            assert expected or self.left_behind(claims)
            # the errors of this resource only, or those of everything if it is another's
            assert set(answer) <= {"doc", "docs", "attachment", "loose", "several", "resources"}

    @precondition(lambda self: self.editors)
    @rule(data=st.data(), force=st.booleans(), pin=st.booleans())
    def transfers(self, data: Any, force: bool, pin: bool) -> None:
        draft = self.draft_of_update(data)
        is_editor = draft.draw(st.integers(0, 4)) < 4
        if not is_editor:
            editor, draft.person = draft.person, draft.any_of(self.people)
            is_editor = editor == draft.person
        file_id = draft.any_of([*self.files, NO_SUCH_FILE])
        target = draft.any_of(sorted(draft.scope))
        request = {"id": file_id, "owner_type": target[0], "owner_id": target[1]}
        request |= {"force": force, "pin": pin}
        done, _ = self.call("files_transfer_ownership", draft, request)
        assert done == (is_editor and self.may_move(draft, file_id, force))
        if done:
            file = self.files[file_id]
            file.owner, file.pinned = target, pin or (file.pinned and not force)

    @precondition(lambda self: self.files)
    @rule(data=st.data())
    def deletes(self, data: Any) -> None:
        file_id = data.draw(st.sampled_from(list(self.files)))
        delete_file(file_id)
        del self.files[file_id]

    @precondition(lambda self: self.editors)
    @rule(data=st.data())
    def plants(self, data: Any) -> None:
        """Something that no validator has seen comes into a field: it moves nothing."""
        draft = self.draft_of_update(data)
        file_id = draft.any_of([*self.files, NO_SUCH_FILE])
        resources = [r["id"] for r in draft.before["resources"] if not r.get("docs")]
        if resource_id := draft.any_of([None, *resources]):
            plant_in_resource(resource_id, doc=file_id)
        else:
            plant("package", draft.before["id"], attachment=file_id)

    # What must hold

    @invariant()
    def owners_are_those_of_the_model(self) -> None:
        expected = [(*file.owner, file.pinned) for file in self.files.values()]
        assert owners(*self.files) == expected

    # The calls

    def save(self, action: str, draft: Draft, request: dict[str, Any]) -> None:
        claims = self.claims(request, draft.before)
        expected = self.expected_errors(draft, claims)
        spoil = draft.draw(st.integers(0, 9)) == 9
        sent = {**request, "version": "x" * 101} if spoil else request
        done, answer = self.call(action, draft, sent)
        if done:
            assert not expected, expected
            self.editors[answer["id"]] = draft.person
            self.settle(claims, draft.scope, answer)
            return
        found = set(_keys(answer)) - {("version",)}
        assert found == expected or (not expected and found <= self.left_behind(claims))
        assert found or spoil
        if "id" in request:
            assert shown(request["id"]) == draft.before

    def call(self, action: str, draft: Draft, request: dict[str, Any]) -> tuple[bool, Any]:
        """Return whether it was done, and the result or the errors."""
        if draft.draw(st.booleans()):
            status, body = self.api.post(action, draft.person.name, **request)
            assert status in (200, 403, 409), body
            done, answer = status == 200, body.get("result")
            if not done:
                hidden = ("__type", "message")
                answer = {key: e for key, e in body["error"].items() if key not in hidden}
        else:
            done, answer = True, None
            try:
                answer = call(action, draft.person.name, **request)
            except (ValidationError, NotAuthorized) as error:
                done, answer = False, getattr(error, "error_dict", {})
        hypothesis.event(f"{action} {'done' if done else 'refused'}")
        return done, answer

    # What is drawn

    def draft_of_update(self, data: Any) -> Draft:
        dataset_id = data.draw(st.sampled_from(list(self.editors)))
        return Draft(self.editors[dataset_id], data, shown(dataset_id))

    def any_file(self, draft: Draft) -> str:
        """Draw a file, more often one that will do: one bad file spoils the whole request."""
        fine = [file for file in self.files if self.may_move(draft, file)]
        files = {
            "none": [""],
            "fine": [file for file in fine if file not in draft.used],
            "used": [file for file in fine if file in draft.used],
            "bad": [*(file for file in self.files if file not in fine), NO_SUCH_FILE],
        }
        kind = draft.any_of(["fine"] * 7 + ["none"] * 5 + ["bad", "used"])
        file = draft.any_of(files[kind] or [""])
        draft.used.add(file)
        return file

    def fields(self, draft: Draft) -> dict[str, Any]:
        return {
            "attachment": self.any_file(draft),
            "loose": self.any_file(draft),
            "several": [self.any_file(draft) for _ in draft.count(2)],
        }

    def new_title(self) -> str:
        self.count += 1
        return f"title {self.count}"

    def new_resource(self, draft: Draft) -> dict[str, Any]:
        doc, docs = self.any_file(draft), [self.any_file(draft) for _ in draft.count(1)]
        return {"url": "http://example.com", "name": self.new_title(), "doc": doc, "docs": docs}

    def changed(self, resource: dict[str, Any], draft: Draft) -> dict[str, Any] | None:
        kind = draft.any_of(["keep", "keep", "remove", "change", "forget the id"])
        if kind == "remove":
            return None
        if kind == "change":
            return {**resource, "doc": self.any_file(draft), "name": self.new_title()}
        draft.used.add(resource.get("doc", ""))
        if kind == "forget the id":
            return {**self.new_resource(draft), "doc": resource.get("doc", "")}
        return resource

    # The model

    def claims(self, request: dict[str, Any], before: dict[str, Any]) -> list[Claim]:
        """List what a request names, in the order in which CKAN validates it."""
        claims = [
            Claim((name,), file, ("package", request.get("id")), pin=name != "loose")
            for name, file in _named(request, "attachment", "loose", "several")
        ]
        for number, resource in enumerate(request["resources"]):
            target = ("resource", resource.get("id"))
            validated = not CORE_FILES or resource not in before["resources"]
            claims += [
                Claim(("resources", number, name), file, target, validated=validated)
                for name, file in _named(resource, "doc", "docs")
            ]
        # what the request does not change, as often as it was there before
        named = _named(before, "attachment", "loose", "several")
        stored = Counter(("package", before.get("id"), name, file) for name, file in named)
        for resource in before["resources"]:
            for name, file in _named(resource, "doc", "docs"):
                stored["resource", resource["id"], name, file] += 1
                stored["resource", None, name, file] += 1
        for claim in (claim for claim in claims if claim.validated):
            place = (*claim.target, claim.key[-1], claim.file)
            claim.stored = stored[place] > 0
            claim.again = claim.target == ("resource", None)
            stored[place] -= 1
        return claims

    def is_unchanged(self, claim: Claim, scope: set[Owner]) -> bool:
        """Return whether the field named the file before; new resources take files of old ones."""
        file = self.files.get(claim.file)
        return claim.stored and not (claim.again and file and file.owner in scope)

    def is_dead(self, claim: Claim, scope: set[Owner]) -> bool:
        """Return whether a place asks for nothing: it named the file before, without owning it."""
        file = self.files.get(claim.file)
        is_there = file is not None and file.owner == claim.target
        return not is_there and self.is_unchanged(claim, scope)

    def expected_errors(self, draft: Draft, claims: list[Claim]) -> set[Key]:
        errors: set[Key] = set()
        first: dict[str, Claim] = {}
        for claim in claims:
            if not claim.validated or self.is_dead(claim, draft.scope):
                continue
            before = first.setdefault(claim.file, claim)
            both_unchanged = all(self.is_unchanged(c, draft.scope) for c in (before, claim))
            if not self.may_move(draft, claim.file):
                errors.add(claim.key)
            elif before is not claim and not both_unchanged:
                stays = self.files[claim.file].owner == claim.target
                errors.add(before.key if stays else claim.key)
        return errors

    def settle(self, claims: list[Claim], scope: set[Owner], after: dict[str, Any]) -> None:
        """A request was carried out: what it names anew belongs to it."""
        alive = [claim for claim in claims if not self.is_dead(claim, scope)]
        for claim in (claim for claim in alive if claim.validated):
            file, owner = self.files[claim.file], ("package", after["id"])
            if claim.key[0] == "resources":
                owner = ("resource", after["resources"][claim.key[1]]["id"])
            file.owner, file.pinned = owner, file.pinned or claim.pin

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

    def may_move(self, draft: Draft, file_id: str, force: bool = False) -> bool:
        file = self.files.get(file_id)
        if file is None:
            return False
        if file.owner in draft.scope and not force:
            return True
        return self.may_edit(draft.person, file) and (force or not file.pinned)


def _named(entity: dict[str, Any], *names: str) -> Iterator[tuple[str, str]]:
    """Yield the files in the fields of an entity, with the names of the fields."""
    for name in names:
        yield from ((name, file) for file in file_ids(entity.get(name)))


def _keys(errors: Any, start: Key = ()) -> Iterator[Key]:
    if isinstance(errors, dict):
        for name, inner in errors.items():
            yield from _keys(inner, (*start, name))
    elif isinstance(errors, list) and any(isinstance(item, dict) for item in errors):
        for number, item in enumerate(errors):
            yield from _keys(item, (*start, number))
    elif errors:
        yield start


def test_random_calls(full_size: bool, api: Api) -> None:
    people = []
    for name in (new_user(), new_user()):
        user_id = call("user_show", None, id=name)["id"]
        people.append(Person(name, user_id, organization_of(name)))
    checks = ("too_slow", "filter_too_much", "data_too_large")
    settings = hypothesis.settings(
        max_examples=200 if full_size else 10,
        stateful_step_count=40 if full_size else 20,
        # the same ones each time, unless there is time to look for others
        derandomize=not full_size,
        database=None,
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck[check] for check in checks],
        print_blob=True,
    )
    run_state_machine_as_test(lambda: Calls(api, people), settings=settings)
