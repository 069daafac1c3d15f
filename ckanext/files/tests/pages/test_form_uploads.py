"""Files that a browser without JavaScript sends with one of CKAN's forms."""

from __future__ import annotations

import io
import json
import re
import uuid
from typing import Any

import pytest
from ckan import model
from ckan.common import config

from ckanext.files.store.storages import get_storage
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.load_plugins import load_plugins

CSV = b"a,b\n1,2\n"

loaded = load_plugins(
    "files", "files_test_forms", "files_test_group_forms", "files_test_organization_forms"
)


class Form:
    """A form as one user sends it.

    :param fields: what CKAN needs besides the fields of files.
    """

    def __init__(self, app: Any, user: str, path: str, **fields: Any) -> None:
        self._app = app
        self._headers = {"Authorization": portal.Api(app).token(user)}
        self._path = path
        self._fields = fields

    def send(self, inputs: dict[str, Any]) -> Any:
        data = {"save": "", **self._fields, **inputs}
        arguments: Any = {"headers": self._headers, "follow_redirects": False}
        answer = self._app.post(self._path, data=data, **arguments)
        model.Session.remove()
        return answer

    def save(self, inputs: dict[str, Any]) -> None:
        """Send what CKAN accepts."""
        answer = self.send(inputs)
        assert answer.status_code == 302, errors(answer)


def file(name: str = "levels.csv", content: bytes = CSV) -> tuple[io.BytesIO, str]:
    return io.BytesIO(content), name


def names_of(*ids: str) -> list[str]:
    return [portal.call("file_show", None, id=id_)["name"] for id_ in ids]


def own(user: str) -> list[str]:
    """Return the ids of a user's own files."""
    found = portal.call("file_owner_scan", user, owner_type="user", owner_id=user_id(user))
    return [each["id"] for each in found["results"]]


def user_id(user: str) -> str:
    found = model.User.get(user)
    assert found
    return found.id


def errors(answer: Any) -> str:
    """Return what the form says about its errors, at its top."""
    assert answer.status_code == 200, answer.headers
    (found,) = re.findall(r'class="error-explanation.*?</div>', answer.body, re.S)
    return found


@pytest.fixture
def dataset(author: str) -> dict[str, Any]:
    return portal.new_dataset(author, title="Levels", resources=[portal.resource()])


@pytest.fixture
def form(app: Any, author: str, dataset: dict[str, Any]) -> Form:
    fields = {"title": "Levels", "name": dataset["name"]}
    return Form(app, author, f"/files-python/edit/{dataset['id']}", **fields)


def test_one_file(form: Form, dataset: dict[str, Any]) -> None:
    """It replaces the one that is there."""
    form.save({"attachment": "", "files-upload:attachment": file()})
    first = portal.shown(dataset["id"])["attachment"]
    assert portal.owner(first) == ("package", dataset["id"], True)
    form.save({"attachment": first, "files-upload:attachment": file("newer.csv")})
    second = portal.shown(dataset["id"])["attachment"]
    assert names_of(first, second) == ["levels.csv", "newer.csv"]


def test_nothing_is_chosen(form: Form, author: str, dataset: dict[str, Any]) -> None:
    (kept,) = portal.upload(author)
    for nothing in ((io.BytesIO(), ""), ""):
        inputs = {"files-upload:attachment": nothing, "files-add:attachment": ""}
        form.save({"attachment": kept, **inputs})
        assert portal.shown(dataset["id"])["attachment"] == kept


def test_several_files(form: Form, author: str, dataset: dict[str, Any]) -> None:
    """Uploaded, added and taken out at once."""
    kept, loose, stored, added = portal.upload(author, 4)
    form.save({"several": [stored, kept]})
    form.save(
        {
            "several": ["", kept, loose, stored],
            "files-several:several": "yes",
            "files-upload:several": [file("a.csv"), file("b.csv")],
            "files-add:several": [added],
            "files-take-out:several": ["", loose, f"{stored} keep"],
        }
    )
    value = portal.shown(dataset["id"])["several"]
    first, second, *uploaded = json.loads(value.replace("'", '"').replace('"", ', ""))
    assert [first, second] == [kept, added]
    assert names_of(*uploaded) == ["a.csv", "b.csv"]
    assert portal.owner(loose) == ("user", user_id(author), False)


def test_an_upload_survives_an_error_of_another_field(form: Form, author: str) -> None:
    answer = form.send({"name": "Not A Name", "files-upload:attachment": file()})
    assert "levels.csv" not in errors(answer)
    assert names_of(*own(author)) == ["levels.csv"]
    # the form of this dataset type does not show the field: see browser/field


@pytest.mark.parametrize("reason", ["too large", "not allowed"])
def test_a_refused_upload_is_an_error_of_its_field(
    reason: str, form: Form, author: str, dataset: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the name of the file; what is stored stays."""
    (kept,) = portal.upload(author)
    form.save({"attachment": kept})
    if reason == "not allowed":
        monkeypatch.setitem(config, "ckan.files.authenticated_uploads.allow", False)
    else:
        monkeypatch.setattr(get_storage("default").settings, "max_size", 3)
    answer = form.send({"attachment": kept, "files-upload:attachment": file("large.csv")})
    assert "Attachment: large.csv was not uploaded:" in errors(answer)
    uploads = [file("a.csv"), file("b.csv")]
    answer = form.send({"files-several:several": "yes", "files-upload:several": uploads})
    first, second = (errors(answer).index(f"{name}.csv was not uploaded") for name in "ab")
    assert first < second
    assert own(author) == []
    assert portal.shown(dataset["id"])["attachment"] == kept


def test_a_form_that_sends_no_files(form: Form, author: str, dataset: dict[str, Any]) -> None:
    """CKAN's own button of a dataset sends the name only: the error says what to do."""
    answer = form.send({"title": "Other", "files-upload:attachment": "levels.csv"})
    assert "levels.csv was not sent. Choose it again, and press" in errors(answer)
    assert 'value="Other"' in answer.body
    names = ["levels.csv", "notes.txt", "map.png"]
    answer = form.send({"files-several:several": "yes", "files-upload:several": names})
    sentence = "levels.csv, notes.txt and map.png were not sent. Choose them again, and press"
    assert sentence in errors(answer)
    assert own(author) == []
    assert portal.shown(dataset["id"])["title"] == "Levels"


def test_error_names_the_file(app: Any, form: Form, author: str, dataset: dict[str, Any]) -> None:
    """In a form: a program gets the id, and so does a user who may not see the file."""
    (taken,) = portal.upload(author)
    portal.new_dataset(author, attachment=taken)
    assert "File a.txt is pinned to its owner" in errors(form.send({"attachment": taken}))
    (hidden,) = portal.upload(portal.new_user())
    assert f"File {hidden} does not exist" in errors(form.send({"attachment": hidden}))
    changed = {**portal.shown(dataset["id"]), "attachment": taken}
    _, answer = portal.Api(app).post("package_update", author, **changed)
    assert answer["error"]["attachment"][0].startswith(f"File {taken} is pinned")


def test_error_names_a_file_that_is_taken_out(form: Form, author: str) -> None:
    (loose,) = portal.upload(author)
    shown = errors(form.send({"attachment": "", "files-take-out:attachment": f"{loose} delete"}))
    assert "File a.txt does not belong here" in shown
    assert loose not in shown


@pytest.mark.parametrize("names", [("second", "second-0-a"), ("second-0-a", "second")], ids=str)
def test_errors_of_a_field_and_of_an_item_of_it(
    names: tuple[str, str], form: Form, author: str, dataset: dict[str, Any]
) -> None:
    """Only a forged form takes files out of both: all its errors are at the field."""
    files = portal.upload(author, 2)
    taken_out = zip(names, files, strict=True)
    inputs = {f"files-take-out:{name}": f"{file} delete" for name, file in taken_out}
    assert "Second: File a.txt does not belong here" in errors(form.send(inputs))
    assert set(files) <= set(own(author))


@pytest.mark.parametrize("name", ["files_withdrawn", "files_withdrawn__0"])
def test_a_field_with_the_name_of_what_is_taken_out(name: str, form: Form) -> None:
    """Only a forged form has it."""
    inputs = {f"files-take-out:{name}": f"{uuid.uuid4()} delete"}
    assert form.send(inputs).status_code == 400


def test_an_unknown_word_for_what_is_taken_out_changes_nothing(
    form: Form, author: str, dataset: dict[str, Any]
) -> None:
    (kept,) = portal.upload(author)
    form.save({"attachment": kept})
    taken_out = {"attachment": kept, "files-take-out:attachment": f"{kept} remove"}
    assert "choose one of keep, give_back, delete" in errors(form.send(taken_out))
    assert portal.shown(dataset["id"])["attachment"] == kept
    assert portal.owner(kept) == ("package", dataset["id"], True)


def test_other_pages_take_no_files(app: Any, author: str, dataset: dict[str, Any]) -> None:
    for path in (f"/dataset/follow/{dataset['id']}", "/dataset/", "/api/action/status_show", "/x"):
        Form(app, author, path).send({"files-upload:attachment": file(), "attachment": ""})
    assert own(author) == []


def test_without_a_user(app: Any) -> None:
    before = portal.count_files()
    data = {"files-upload:attachment": file(), "save": "", "name": f"d-{uuid.uuid4()}"}
    app.post("/files-python/new", data=data)
    assert portal.count_files() == before


def test_resource(app: Any, author: str, dataset: dict[str, Any]) -> None:
    path = f"/files-python/{dataset['id']}/resource/new"
    form = Form(app, author, path, id="", url="http://example.com", name="New")
    form.save({"save": "go-metadata", "doc": "", "files-upload:doc": file("codebook.pdf")})
    resource = portal.shown(dataset["id"])["resources"][-1]
    assert resource["name"] == "New"
    assert names_of(resource["doc"]) == ["codebook.pdf"]
    assert portal.owner(resource["doc"]) == ("resource", resource["id"], True)
    assert not [name for name in resource if name.startswith("files")]


@pytest.mark.parametrize("type_", ["group", "organization"])
def test_group(type_: str, app: Any, author: str) -> None:
    name = f"g-{uuid.uuid4()}"
    group = portal.call(f"{type_}_create", author, name=name, type=f"files-{type_}")
    form = Form(app, author, f"/files-{type_}/edit/{name}", name=name)
    form.save({"logo": "", "files-upload:logo": file("logo.png")})
    (owned,) = portal.files_of(type_, group["id"])
    assert names_of(owned) == ["logo.png"]


def test_user(app: Any, author: str) -> None:
    email = portal.call("user_show", author, id=author)["email"]
    form = Form(app, author, f"/user/edit/{author}", name=author, email=email)
    form.save({"avatar": "", "files-upload:avatar": file("me.png")})
    (owned,) = own(author)
    assert names_of(owned) == ["me.png"]
    assert portal.owner(owned) == ("user", user_id(author), True)
