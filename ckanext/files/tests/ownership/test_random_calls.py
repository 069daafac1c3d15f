"""Random sequences of calls: a file moves when a request names it anew, and only then."""

from __future__ import annotations

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

from ckanext.files.ownership.values import file_ids
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.effects import look
from ckanext.files.tests.support.users import call, new_user, organization_of, shown

NO_SUCH_FILE = "00000000-0000-4000-8000-000000000000"
FIELDS = {"package": ("attachment", "loose", "several"), "resource": ("doc", "docs")}


class Person(NamedTuple):
    name: str
    id: str
    dataset: str
    """Only this person may edit it."""


class Place(NamedTuple):
    """A field of a dataset or of a resource, which has its name for an id while it is new."""

    owner_type: str
    owner_id: str
    field: str


def fields_of(dataset: dict[str, Any]) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield the places of a dataset, with the dictionaries that have these fields."""
    entities = [("package", dataset), *(("resource", one) for one in dataset["resources"])]
    for type_, entity in entities:
        for name in FIELDS[type_]:
            yield Place(type_, entity.get("id") or entity["name"], name), entity


def named_in(dataset: dict[str, Any]) -> Counter[tuple[str, Place]]:
    """Count how often each file is named in each place."""
    places = fields_of(dataset)
    return Counter((id_, place) for place, e in places for id_ in file_ids(e.get(place.field)))


class Calls(RuleBasedStateMachine):
    """Two people, each with a dataset, upload files and move them about."""

    def __init__(self) -> None:
        super().__init__()
        self.people: list[Person] = []
        self.files: dict[str, tuple[str, str, bool]] = {}
        """The type and the id of the owner that each file should have, and whether it is kept."""
        self.names = 0

    @initialize()
    def begin(self) -> None:
        for number in range(2):
            name = new_user()
            dataset = portal.new_dataset(name, owner_org=organization_of(name))["id"]
            self.people.append(Person(name, call("user_show", None, id=name)["id"], dataset))
            for _ in range(4):
                self.uploads(number)

    @rule(number=st.sampled_from([0, 1]))
    def uploads(self, number: int) -> None:
        person = self.people[number]
        self.files[portal.upload(person.name)[0]] = ("user", person.id, False)

    @precondition(lambda self: self.files)
    @rule(data=st.data())
    def deletes(self, data: Any) -> None:
        file = data.draw(st.sampled_from(list(self.files)))
        portal.delete_file(file)
        del self.files[file]

    @rule(number=st.sampled_from([0, 1]), data=st.data(), force=st.booleans(), pin=st.booleans())
    def transfers(self, number: int, data: Any, force: bool, pin: bool) -> None:
        person = self.people[number]
        scope = {place[:2] for place, _ in fields_of(shown(person.dataset))}
        file = data.draw(st.sampled_from([*self.files, NO_SUCH_FILE]))
        type_, owner_id = data.draw(st.sampled_from(sorted(scope)))
        target = {"owner_type": type_, "owner_id": owner_id, "force": force, "pin": pin}
        allowed = self.may_move(person, file, scope, force=force)
        try:
            call("files_transfer_ownership", person.name, id=file, **target)
        except (ValidationError, NotAuthorized):
            assert not allowed
        else:
            assert allowed
            self.files[file] = (type_, owner_id, pin or (self.files[file][2] and not force))

    @rule(number=st.sampled_from([0, 1]), data=st.data())
    def updates(self, number: int, data: Any) -> None:
        person = self.people[number]
        before = shown(person.dataset)
        request = self.draw_request(person, before, data)
        anew, kept = named_in(request) - named_in(before), named_in(request) & named_in(before)
        wrong = self.wrong_files(person, before, anew, kept)
        try:
            after = call("package_update", person.name, **request)
        except ValidationError as error:
            refused = {file for file in [*self.files, NO_SUCH_FILE] if file in str(error)}
            assert refused
            assert refused <= wrong
            assert shown(person.dataset) == before
            return
        assert not wrong
        ids = {one["name"]: one["id"] for one in after["resources"]}
        for file, (type_, id_, field) in anew:
            self.files[file] = (type_, ids.get(id_, id_), field != "loose" or self.files[file][2])
        for file in {file for file, _ in kept} & self.files.keys():
            # its owner may keep it again
            if portal.owner(file) == (now := (*self.files[file][:2], True)):
                self.files[file] = now

    @invariant()
    def owners_are_those_of_the_model(self) -> None:
        assert portal.owners(*self.files) == list(self.files.values())

    # The model

    def may_move(self, person: Person, file: str, scope: Any, *, force: bool = False) -> bool:
        if file not in self.files:
            return False
        type_, owner_id, pinned = self.files[file]
        if (type_, owner_id) in scope and not force:
            return True
        if type_ == "resource":  # one that was removed is still there for a while
            owner_id = look("SELECT package_id FROM resource WHERE id = :id", id=owner_id)
        return owner_id in (person.id, person.dataset) and (force or not pinned)

    def wrong_files(self, person: Person, before: Any, anew: Any, kept: Any) -> set[str]:
        """Return the files that the request must not name: files of others, and files named twice.

        A place that names a file without owning it asks for nothing while it is unchanged.
        """
        scope = {place[:2] for place, _ in fields_of(before)}
        times = Counter(file for file, _ in anew.elements())
        owned = {file for file, place in kept if self.files.get(file, ())[:2] == place[:2]}
        return {
            file
            for file, count in times.items()
            if count > 1 or file in owned or not self.may_move(person, file, scope)
        }

    # What is drawn

    def draw_request(self, person: Person, before: dict[str, Any], data: Any) -> dict[str, Any]:
        """Change some fields and the order of the resources, remove and add some of these."""
        resources = [dict(one) for one in before["resources"] if data.draw(st.integers(0, 4))]
        self.names += 1
        resources += [portal.resource(f"{self.names}")] * data.draw(st.integers(0, 1))
        request = {**before, "title": f"{self.names}", "resources": resources}
        changed = [(p, entity) for p, entity in fields_of(request) if data.draw(st.booleans())]
        for place, entity in changed:
            entity[place.field] = ""
        # a new resource that names what a removed one has named in vain counts as unchanged
        scope = {place[:2] for place, _ in fields_of(before)}
        removed = {file for file, _ in named_in(before) - named_in(request)}
        files = [f for f in self.files if f not in removed or self.files[f][:2] in scope]
        named = {file for file, _ in named_in(request)}
        fine = [f for f in files if f not in named and self.may_move(person, f, scope)]
        for place, entity in changed:
            count = 2 if place.field in ("several", "docs") else 1
            chosen = [self.draw_file(fine, files, data) for _ in range(count)]
            entity[place.field] = chosen if count > 1 else chosen[0]
        request["resources"] = data.draw(st.permutations(resources))
        return request

    def draw_file(self, fine: list[str], files: list[str], data: Any) -> str:
        """Draw a file that will do, mostly: one wrong file spoils the whole request."""
        kind = data.draw(st.integers(0, 19))
        if kind < 2:
            return data.draw(st.sampled_from([*files, NO_SUCH_FILE]))
        return fine.pop() if kind > 7 and fine else ""


def test_random_calls(full_size: bool) -> None:
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
    run_state_machine_as_test(Calls, settings=settings)
