"""Forms that were opened before another user has put files into the fields, or moved them.

What a form had in a field when it was opened, it sends as ``files-initial:FIELD``: the ids with
spaces between them.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk
import pytest
from ckan import model
from ckan.common import config

from ckanext.files.tests.pages.test_form_uploads import Form, errors, own, user_id
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.costs import FACTOR, FEW, calls_of
from ckanext.files.tests.support.effects import look
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.races import waiting
from ckanext.files.tests.support.users import call, new_user, organization_of

loaded = load_plugins(
    *("files", "files_test_forms", "files_test_group_forms", "files_test_organization_forms"),
    *("scheming_datasets", "scheming_nerf_index"),
    scheming__presets="ckanext.scheming:presets.json ckanext.files:presets.yaml",
    scheming__dataset_schemas="ckanext.files.tests:schemas/preset_dataset.yaml",
)

MOVED = "is now in another field. Open the form again before you detach it"
IN_USE = "is still in use here. Take it out of: "


@pytest.fixture(params=["delete", "give_back", "keep"])
def then(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(config, "ckanext.files.withdrawn", request.param)
    return request.param


@pytest.fixture
def ann() -> str:
    return new_user()


@pytest.fixture
def ben() -> str:
    return new_user()


@pytest.fixture
def org(ann: str, ben: str) -> str:
    return organization_of(ann, ben)


def exists(file: str) -> bool:
    return bool(look(f"SELECT EXISTS (SELECT FROM {portal.FILES} WHERE id = :id)", id=file))


def assert_done(then: str, file: str, owner: tuple[str, str], user: str) -> None:
    """What the option says was done with a file that was taken out."""
    if then == "delete":
        assert not exists(file)
    elif then == "give_back":
        assert file in own(user)
    else:
        assert portal.owner(file)[:2] == owner


def edit(app: Any, user: str, dataset: dict[str, Any], **fields: Any) -> Form:
    """Return the form of a dataset without resources, as a user has it open."""
    path = f"/{dataset['type']}/edit/{dataset['id']}"
    place = {"name": dataset["name"], "owner_org": dataset["owner_org"], "title": "Levels"}
    return Form(app, user, path, **place, **fields)


def edit_resource(app: Any, user: str, dataset: dict[str, Any]) -> Form:
    """Return the form of the first resource of a dataset."""
    resource = dataset["resources"][0]
    path = f"/{dataset['type']}/{dataset['id']}/resource/{resource['id']}/edit"
    return Form(app, user, path, id=resource["id"], url=resource["url"], name="New")


Detached = tuple[str, dict[str, Any], dict[str, Any]]
"""A file, the dataset that has it, and what a form sends that takes it out."""

Opened = tuple[Form, str, tuple[str, str], Callable[[str], Any]]
"""A form, its field, what it edits, and how another user puts a file there."""


@pytest.fixture(params=["dataset", "resource", "group", "organization", "subfield"])
def opened(request: pytest.FixtureRequest, app: Any, ann: str, ben: str, org: str) -> Opened:
    kind = request.param
    if kind in ("dataset", "subfield"):
        type_ = "files-preset" if kind == "subfield" else "files-python"
        dataset = portal.new_dataset(ann, owner_org=org, title="Levels", type=type_)
        field = "citations-0-paper" if kind == "subfield" else "attachment"

        def put(file: str) -> None:
            value = {"citations": [{"paper": file}]} if kind == "subfield" else {field: file}
            portal.update(ann, dataset, **value)

        return edit(app, ben, dataset), field, ("package", dataset["id"]), put
    if kind == "resource":
        dataset = portal.new_dataset(ann, owner_org=org, resources=[portal.resource()])
        id_ = dataset["resources"][0]["id"]
        put_doc = partial(call, "resource_patch", ann, id=id_)
        form = edit_resource(app, ben, dataset)
        return form, "doc", ("resource", id_), lambda file: put_doc(doc=file)
    name = f"g-{uuid.uuid4()}"
    users = [{"name": user, "capacity": "admin"} for user in (ann, ben)]
    fields = {"name": name, "type": f"files-{kind}", "users": users}
    group = call(f"{kind}_create", ann, **fields)
    put_logo = partial(call, f"{kind}_update", ann, id=group["id"], **fields)
    form = Form(app, ben, f"/files-{kind}/edit/{name}", name=name)
    return form, "logo", (kind, group["id"]), lambda file: put_logo(logo=file)


def test_a_file_that_came_meanwhile_stays(then: str, opened: Opened, ann: str, ben: str) -> None:
    """It is neither deleted nor given to the user whose form never had it."""
    form, field, owner, put = opened
    file = portal.new_file(ann)
    put(file)
    form.save({field: ""})
    assert exists(file)
    assert portal.owner(file) == (*owner, True)
    assert file not in own(ben)


def test_a_file_that_the_form_had_is_taken_out(
    then: str, opened: Opened, ann: str, ben: str
) -> None:
    """Also when a third user has put another one in its place: that one stays."""
    form, field, owner, put = opened
    first, second = portal.new_file(ann), portal.upload(ann)[0]
    put(first)
    form.save({field: "", f"files-initial:{field}": first})
    assert_done(then, first, owner, ben)
    put(second)
    form.save({field: "", f"files-initial:{field}": first})
    assert portal.owner(second) == (*owner, True)


def test_the_form_of_a_user(then: str, app: Any, ann: str) -> None:
    """CKAN itself stores no other text of a user than this one."""
    user = call("user_show", ann, id=ann)
    form = Form(app, ann, f"/user/edit/{ann}", name=ann, email=user["email"])
    for is_initial in (False, True):
        (file,) = portal.put(("user", user["id"]), pinned=True)
        call("user_patch", ann, id=user["id"], about=file)
        form.save({"about": "", **({"files-initial:about": file} if is_initial else {})})
        if is_initial and then == "delete":
            assert not exists(file)
        else:
            pinned = not (is_initial and then == "give_back")
            assert portal.owner(file) == ("user", user["id"], pinned)


@pytest.mark.parametrize("word", ["delete", "give_back"])
@pytest.mark.parametrize("edited", ["dataset", "resource", "one of two resources"])
def test_a_word_for_a_file_that_moved_meanwhile(
    word: str, edited: str, app: Any, ann: str, ben: str, org: str
) -> None:
    """It is an error of the field that had the file, and nothing of the form is saved."""
    (file,) = portal.upload(ann)
    place = {"owner_org": org, "title": "Levels"}
    if edited == "dataset":
        field, other = "attachment", "second"
        dataset = portal.new_dataset(ann, attachment=file, **place)
        form = edit(app, ben, dataset)
        portal.update(ann, dataset, attachment="", second=file)
    elif edited == "one of two resources":
        field, other = "doc", "second_doc"
        resources = [portal.resource(doc=file), portal.resource("b")]
        dataset = portal.new_dataset(ann, resources=resources, **place)
        form = edit_resource(app, ben, dataset)
        first, second = dataset["resources"]
        resources = [{**first, "doc": ""}, {**second, "doc": file}]
        portal.update(ann, dataset, resources=resources)
    else:
        field, other = "doc", "second_doc"
        dataset = portal.new_dataset(ann, resources=[portal.resource(doc=file)], **place)
        form = edit_resource(app, ben, dataset)
        call("resource_patch", ann, id=dataset["resources"][0]["id"], doc="", second_doc=file)
    before = portal.shown(dataset["id"])
    inputs = {field: "", other: "", f"files-initial:{field}": file}
    inputs[f"files-take-out:{field}"] = f"{file} {word}"
    assert f"{field.capitalize()}: File a.txt {MOVED}" in errors(form.send(inputs))
    assert portal.shown(dataset["id"]) == before


def test_a_file_that_moved_meanwhile_stays(
    then: str, app: Any, ann: str, ben: str, org: str
) -> None:
    (file,) = portal.upload(ann)
    dataset = portal.new_dataset(ann, title="Levels", attachment=file, owner_org=org)
    form = edit(app, ben, dataset, second="")
    portal.update(ann, dataset, attachment="", second=file)
    form.save({"attachment": "", "files-initial:attachment": file})
    assert portal.owner(file) == ("package", dataset["id"], True)


@pytest.fixture(params=["option", "word"])
def detached(
    request: pytest.FixtureRequest, ann: str, org: str, monkeypatch: pytest.MonkeyPatch
) -> Detached:
    (file,) = portal.upload(ann)
    dataset = portal.new_dataset(ann, title="Levels", attachment=file, owner_org=org)
    inputs = {"attachment": "", "files-initial:attachment": file}
    if request.param == "option":
        monkeypatch.setitem(config, "ckanext.files.withdrawn", "delete")
    else:
        inputs["files-take-out:attachment"] = f"{file} delete"
    return file, dataset, inputs


def assert_stays(file: str, inputs: dict[str, Any], answer: Any) -> None:
    """A word for a file that has moved is an error."""
    assert exists(file)
    if len(inputs) > 2:
        assert f"Attachment: File a.txt {MOVED}" in errors(answer)
    else:
        assert answer.status_code == 302


def test_a_file_that_moved_to_a_field_that_the_form_does_not_show(
    detached: Detached, app: Any, ann: str, ben: str
) -> None:
    """The field is newer than the form, or has an input of its own."""
    file, dataset, inputs = detached
    form = edit(app, ben, dataset)
    portal.update(ann, dataset, attachment="", second=file)
    assert_stays(file, inputs, form.send(inputs))


def test_a_file_that_moves_while_the_form_is_saved(
    detached: Detached, app: Any, ann: str, ben: str
) -> None:
    """The form waits for an update of the dataset that has not committed yet."""
    file, dataset, inputs = detached
    form = edit(app, ben, dataset)
    context: Any = {"user": ann, "defer_commit": True}
    tk.get_action("package_update")(context, {**dataset, "attachment": "", "second": file})
    with waiting(lambda: form.send(inputs)) as waits:
        model.Session.commit()
    assert_stays(file, inputs, waits.result())


@pytest.fixture
def copied(app: Any) -> Iterator[None]:
    """A plugin writes the first file of each dataset into an extra, which no form shows."""
    p.load("files_test_copied_file")
    yield
    p.unload("files_test_copied_file")


TakeOut = Callable[[str, str], dict[str, Any]]


@pytest.fixture(params=["delete", "give_back", "option"])
def take_out(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> TakeOut:
    """Return what a form sends that takes a file out of a field, with a word or by the option."""

    def inputs(field: str, file: str) -> dict[str, str]:
        if request.param == "option":
            return {field: ""}
        return {field: "", f"files-take-out:{field}": f"{file} {request.param}"}

    if request.param == "option":
        monkeypatch.setitem(config, "ckanext.files.withdrawn", "delete")
    return inputs


def initial_inputs(page: str) -> dict[str, str]:
    return {f"files-initial:{name}": words for name, words in initial_files(page)}


def on_page(app: Any, user: str, path: str) -> dict[str, str]:
    """Return what the page of a form sends about the initial files."""
    headers = {"Authorization": portal.Api(app).token(user)}
    return initial_inputs(app.get(f"/files-preset/{path}", headers=headers).body)


def of_field(app: Any, user: str, field: str, file: str, owner: tuple[str, str]) -> dict[str, str]:
    """Return the same of a field, for forms whose page does not show it."""
    with app.flask_app.test_request_context():
        tk.g.user = user
        tk.login_user(model.User.get(user))
        page = tk.render_snippet(
            "files/snippets/attachment_field.html",
            {"name": field, "value": file, "owner_types": owner[:1], "owner": owner[1]},
        )
    return initial_inputs(str(page))


def assert_taken_out(inputs: dict[str, Any], file: str, user: str) -> None:
    if "give_back" in str(inputs):
        assert portal.owner(file) == ("user", user_id(user), False)
    else:
        assert not exists(file)


def assert_refused(sentence: str, inputs: dict[str, Any], file: str, answer: Any) -> None:
    """A word for a file that stays is an error; the option leaves it."""
    assert portal.owner(file)[0] == "package"
    if "files-take-out:attachment" in inputs:
        assert f"Attachment: File a.txt {sentence}" in errors(answer)
    else:
        assert answer.status_code == 302


@pytest.mark.parametrize("edited", ["dataset", "resource"])
def test_a_file_that_a_plugin_copies_at_each_save(
    edited: str, copied: None, take_out: TakeOut, app: Any, ann: str, ben: str, org: str
) -> None:
    """The form can take it out, also when it comes back with an error."""
    (file,), (other,) = portal.upload(ann), portal.upload(ben)
    place = {"type": "files-preset", "title": "Levels", "owner_org": org}
    if edited == "dataset":
        dataset = portal.new_dataset(ann, attachment=file, **place)
        initial = on_page(app, ben, f"edit/{dataset['id']}")
        form, inputs = edit(app, ben, dataset), take_out("attachment", file)
        wrong = {"name": "Not A Name"}
    else:
        dataset = portal.new_dataset(ann, resources=[portal.resource(codebook=file)], **place)
        resource = dataset["resources"][0]["id"]
        initial = on_page(app, ben, f"{dataset['id']}/resource/{resource}/edit")
        form, inputs = edit_resource(app, ben, dataset), take_out("codebook", file)
        inputs["codebook"], wrong = other, {"codebook": ""}
    assert portal.shown(dataset["id"])["extras"] == [{"key": "main_file", "value": file}]
    inputs |= initial
    failed = form.send({**inputs, **wrong})
    assert "error-explanation" in failed.body
    assert initial_inputs(failed.body) == initial
    form.save(inputs)
    assert_taken_out(inputs, file, ben)


OTHER_FIELDS: list[tuple[str, str, dict[str, Any]]] = [
    ("resource", "doc", {"description": "FILE"}),
    ("group", "logo", {"extras": [{"key": "main_logo", "value": "FILE"}]}),
    ("organization", "logo", {"description": "FILE"}),
    ("user", "about", {"fullname": "FILE"}),
]


@pytest.mark.parametrize(("kind", "field", "other"), OTHER_FIELDS)
def test_a_file_that_the_form_takes_out_of_a_field_that_always_had_it_as_well(
    kind: str,
    field: str,
    other: dict[str, Any],
    take_out: TakeOut,
    app: Any,
    ann: str,
    org: str,
) -> None:
    """CKAN's forms send these other fields by themselves, or CKAN forgets them."""
    (file,) = portal.upload(ann)
    fields = {field: file, **json.loads(json.dumps(other).replace("FILE", file))}
    if kind == "resource":
        resources = [portal.resource(**fields)]
        dataset = portal.new_dataset(ann, title="Levels", owner_org=org, resources=resources)
        id_, form = dataset["resources"][0]["id"], edit_resource(app, ann, dataset)
    elif kind == "user":
        id_ = user_id(ann)
        (file,) = portal.put(("user", id_), pinned=True)
        call("user_patch", ann, id=id_, about=file, fullname=file)
        email = call("user_show", ann, id=ann)["email"]
        form = Form(app, ann, f"/user/edit/{ann}", name=ann, email=email, fullname="Ann")
    else:
        name = f"g-{uuid.uuid4()}"
        id_ = call(f"{kind}_create", ann, name=name, type=f"files-{kind}", **fields)["id"]
        form = Form(app, ann, f"/files-{kind}/edit/{name}", name=name, description="")
    inputs = take_out(field, file) | of_field(app, ann, field, file, (kind, id_))
    form.save(inputs)
    assert_taken_out(inputs, file, ann)


@pytest.mark.parametrize("kept", ["extra", "description of a resource"])
def test_a_file_that_a_field_always_had_and_keeps(
    kept: str, take_out: TakeOut, app: Any, ann: str, ben: str, org: str
) -> None:
    (file,) = portal.upload(ann)
    fields: dict[str, Any] = {"resources": [portal.resource(description=file)]}
    inputs = take_out("attachment", file)
    if kept == "extra":
        fields = {"extras": [{"key": "main_file", "value": file}]}
        inputs |= {"extras__0__key": "main_file", "extras__0__value": file}
    dataset = portal.new_dataset(ann, title="Levels", owner_org=org, attachment=file, **fields)
    inputs |= of_field(app, ben, "attachment", file, ("package", dataset["id"]))
    # as the form of CKAN 2.11: it leaves the resources alone
    answer = edit(app, ben, dataset, _ckan_phase="1").send(inputs)
    where = {"extra": "main_file", "description of a resource": "resources / description"}
    assert_refused(IN_USE + where[kept], inputs, file, answer)


def test_a_field_that_the_form_does_not_show_and_that_got_the_file_meanwhile(
    take_out: TakeOut, app: Any, ann: str, ben: str, org: str
) -> None:
    """A form that is opened again can take it out. What is no mark means nothing."""
    (file,) = portal.upload(ann)
    dataset = portal.new_dataset(ann, title="Levels", owner_org=org, attachment=file)
    owner = ("package", dataset["id"])
    form, inputs = edit(app, ben, dataset), take_out("attachment", file)
    initial = of_field(app, ben, "attachment", file, owner)
    assert initial == {"files-initial:attachment": file}
    portal.update(ann, dataset, extras=[{"key": "main_file", "value": file}])
    for words in (file, f"{file} \0 [] {'f' * 16} main_file"):
        answer = form.send({**inputs, "files-initial:attachment": words})
        assert_refused(MOVED, inputs, file, answer)
        portal.update(ann, dataset, extras=[{"key": "main_file", "value": file}])
    inputs |= of_field(app, ben, "attachment", file, owner)
    form.save(inputs)
    assert_taken_out(inputs, file, ben)


def test_calls_grow_with_what_a_form_takes_out(app: Any, ann: str, ben: str, org: str) -> None:
    """And not with their number times the number of fields, which a forged form can choose."""

    def calls(number: int) -> int:
        files = portal.upload(ann, number)
        dataset = portal.new_dataset(ann, title="Levels", owner_org=org, several=files)
        inputs = {f"files-initial:x{n}": str(uuid.uuid4()) for n in range(10 * number)}
        inputs |= {f"files-take-out:x{n}": f"{file} delete" for n, file in enumerate(files)}
        form, answers = edit(app, ben, dataset), []
        number_of_calls = calls_of(lambda: answers.append(form.send(inputs)))
        assert answers[0].text.count("is now in another field") == number
        return number_of_calls

    calls(1)  # what is made once
    assert calls(FEW * FACTOR) < calls(FEW) * FACTOR * 1.5


def test_a_word_for_a_file_that_is_in_no_field(app: Any, ann: str, ben: str, org: str) -> None:
    """A form that comes back offers it for files that an earlier save has kept."""
    (file,) = portal.upload(ann)
    dataset = portal.new_dataset(ann, title="Levels", attachment=file, owner_org=org)
    portal.update(ann, dataset, attachment="")
    inputs = {"attachment": ""}
    edit(app, ben, dataset).save({**inputs, "files-take-out:attachment": f"{file} delete"})
    assert not exists(file)


def test_a_file_that_was_deleted_meanwhile(app: Any, ann: str, ben: str, org: str) -> None:
    """The error is at the field, without the id, and the form can be saved then."""
    (file,) = portal.upload(ann)
    dataset = portal.new_dataset(
        ann, type="files-preset", title="Levels", owner_org=org, citations=[{"paper": file}]
    )
    form = edit(app, ben, dataset)
    words = [{"id": file, "then": "delete"}]
    portal.update(ann, dataset, citations=[{"paper": ""}], files_withdrawn=words)
    field = "citations-0-paper"
    inputs = {field: "", f"files-initial:{field}": file}
    answer = form.send({**inputs, f"files-take-out:{field}": f"{file} delete"})
    shown = errors(answer)
    assert "was deleted meanwhile, or belongs to something else. Save again" in shown
    assert "Paper" in shown
    assert file not in shown
    assert "files_withdrawn" not in shown
    assert "was deleted meanwhile" in answer.body.partition(f'id="field-{field}-error"')[2]
    assert "files-take-out:" not in taken_out(answer.body, field)
    form.save(inputs)


def taken_out(page: str, field: str) -> str:
    """Return the part of the page with the files that were taken out of a field."""
    of_field = page.partition(f'id="field-{field}-field"')[2]
    return re.findall('class="files-taken-out.*?</ul>', of_field, re.S)[0]


def initial_files(page: str) -> list[tuple[str, str]]:
    """Return what a form sends about the initial files of its fields, of those that had any."""
    found = re.findall('<input type="hidden" name="files-initial:(.*?)" value="(.*?)"', page)
    return sorted(found)


def test_a_form_that_comes_back_knows_what_it_had(
    then: str, app: Any, ann: str, ben: str, org: str
) -> None:
    """Also of an item that was removed; and not what came meanwhile."""
    first, second, third, fourth, late = portal.upload(ann, 5)
    citations = [{"paper": first}, {"paper": second}]
    place = {"type": "files-preset", "title": "Levels", "owner_org": org}
    fields = {"attachments": [third, fourth], "citations": citations}
    dataset = portal.new_dataset(ann, **fields, **place)
    form = edit(app, ben, dataset)
    headers = {"Authorization": portal.Api(app).token(ben)}
    opened = app.get(f"/files-preset/edit/{dataset['id']}", headers=headers).body
    at_first = [
        ("attachments", f"{third} {fourth}"),
        *(("citations-0-paper", first), ("citations-1-paper", second)),
    ]
    assert initial_files(opened) == at_first
    portal.update(ann, dataset, attachment=late)
    inputs: dict[str, Any] = {f"files-initial:{name}": ids for name, ids in at_first}
    inputs |= {"attachment": "", "attachments": [third, fourth], "citations-0-paper": first}
    answer = form.send({**inputs, "name": "Not A Name"})
    assert "Must be purely lowercase" in errors(answer)
    assert initial_files(answer.body) == at_first
    form.save(inputs)
    assert len(portal.shown(dataset["id"])["citations"]) == 1
    here = ("package", dataset["id"])
    assert portal.owners(first, third, fourth, late) == [(*here, True)] * 4
    assert_done(then, second, here, ben)


def test_calls_of_programs_have_no_form(then: str, ann: str, org: str) -> None:
    """The option is for whatever they leave out."""
    (file,) = portal.upload(ann)
    dataset = portal.new_dataset(ann, attachment=file, owner_org=org)
    portal.update(ann, dataset, attachment="")
    assert_done(then, file, ("package", dataset["id"]), ann)


def test_a_group_whose_file_moves_while_the_form_is_saved(
    app: Any, ann: str, ben: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a dataset: the form waits for an update that has not committed yet."""
    monkeypatch.setitem(config, "ckanext.files.withdrawn", "delete")
    (file,) = portal.upload(ann)
    name = f"g-{uuid.uuid4()}"
    users = [{"name": user, "capacity": "admin"} for user in (ann, ben)]
    fields = {"name": name, "type": "files-group", "users": users}
    group = call("group_create", ann, **fields, logo=file)
    form = Form(app, ben, f"/files-group/edit/{name}", name=name)
    context: Any = {"user": ann, "defer_commit": True}
    moved = {"id": group["id"], **fields, "logo": "", "second_logo": file}
    tk.get_action("group_update")(context, moved)
    model.Session.flush()
    with waiting(lambda: form.send({"logo": "", "files-initial:logo": file})) as waits:
        model.Session.commit()
    assert waits.result().status_code in (200, 302)
    assert exists(file)
