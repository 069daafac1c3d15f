"""Every example of the README, of the first pages and of the recipes does what the text says."""

from __future__ import annotations

import configparser
import io
import json
import re
import textwrap
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
import ckan
import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
import yaml
from ckan.cli.search_index import search_index
from ckan.common import config, config_declaration
from ckan.tests.helpers import _get_test_app
from werkzeug.datastructures import FileStorage

from ckanext.files import shared
from ckanext.files.cli import get_commands
from ckanext.files.store.storages import get_storage, storages
from ckanext.files.tests.support import documented, portal
from ckanext.files.tests.support.effects import count_commits, engine, look
from ckanext.files.tests.support.load_plugins import plugins_loaded
from ckanext.files.tests.support.portal import Client
from ckanext.files.tests.support.users import call, new_user, organization_of, shown
from ckanext.files.transaction import outcome

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00"
UPLOADS = "ckan.files.authenticated_uploads"

INSTALL = "docs/learning/install.rst"
ATTACHMENTS = "docs/learning/attachments.rst"
TEMPLATES = "docs/recipes/templates.rst"
ON_DISK, IN_A_BUCKET = documented.blocks(INSTALL, "ini")
SUBFIELDS = "files scheming_datasets scheming_nerf_index"
"""Plugins for repeating subfields, as CKAN 2.11 needs them."""

OPTIONS = {**documented.options("README.rst", ATTACHMENTS), **documented.options_of(ON_DISK)}


_NAMED = re.compile(r"{# (templates/\S+) #}\n.*", re.DOTALL)
"""A template that says where it is."""


@pytest.fixture
def load() -> Iterator[Any]:
    """Load plugins with options, for one test."""
    with ExitStack() as stack:
        yield lambda *names, **more: stack.enter_context(plugins_loaded(*names, **more))


def test_every_block_has_a_test() -> None:
    """A block that is added needs one."""
    assert documented.counts("bash", "ini", "yaml", "python", "cfg", "text", "html\\+jinja") == {
        "README.rst": {"bash": 4, "ini": 3, "yaml": 1, "python": 1},
        INSTALL: {"bash": 2, "ini": 2},
        ATTACHMENTS: {"bash": 1, "ini": 2, "yaml": 4, "python": 2},
        "docs/learning/queued-tasks.rst": {"python": 1},
        "docs/recipes/custom-actions.rst": {"python": 1},
        "docs/recipes/on-commit.rst": {"python": 1},
        "docs/recipes/signals.rst": {"python": 1},
        # search/test_search.py
        "docs/recipes/search.rst": {"python": 1},
        "docs/recipes/withdrawals.rst": {"python": 1},
        "docs/reference/ckan-2.11.rst": {"python": 1},
        # cli/test_progress.py
        "docs/operating/command-line.rst": {"bash": 1},
        "docs/testing/add-a-test.rst": {"python": 1},
        # test_background_pages.py
        "docs/learning/background-tasks.rst": {"ini": 2, "python": 5, "cfg": 1},
        "docs/recipes/retries.rst": {"python": 1},
        "docs/recipes/schedules.rst": {"python": 1},
        "docs/recipes/long-work.rst": {"python": 4},
        "docs/recipes/jobs.rst": {"python": 2},
        "docs/testing/your-extension.rst": {"ini": 1, "python": 2},
        "docs/operating/workers.rst": {"ini": 3, "text": 1},
        # maintenance/test_schedule.py
        "docs/operating/maintenance.rst": {"ini": 1, "python": 2},
        # uploads/test_page.py
        "docs/recipes/uploads.rst": {"bash": 2, "python": 1},
        # and pages/test_pages.py
        TEMPLATES: {"html\\+jinja": 8, "python": 1},
        # pages/test_listing.py
        "docs/operating/files.rst": {"html\\+jinja": 1},
    }


def test_commands_that_the_pages_name() -> None:
    text = (documented.ROOT / "README.rst").read_text()
    makefile = (documented.ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^    make ([a-z-]+)", text, re.M))
    assert targets == {"demo", "test"}
    assert "``make docs``" in text
    for target in targets | {"docs"}:
        assert re.search(rf"^{target}:", makefile, re.M)
    # the upload names the storage of the options, and what the action takes
    [command] = [block for block in documented.blocks(INSTALL, "bash") if "curl" in block]
    given = dict(re.findall(r"-F (\w+)=(\S+)", command))
    assert set(given) == {"storage", "upload"}
    assert given["storage"] == OPTIONS[f"{UPLOADS}.storages"]
    assert f"ckan.files.storage.{given['storage']}.type" in OPTIONS
    assert command.endswith("/api/action/file_create\n")


def test_options_are_those_of_ckan(load: Any) -> None:
    load("files")
    names = {name for name in OPTIONS if name.startswith("ckan.")}
    # a storage has the settings of its type; the upload below needs them
    settings = {name for name in names if name.startswith("ckan.files.storage.")}
    assert len(settings) == 5
    assert names - settings <= {str(key) for key in config_declaration.iter_options()}


def test_upload_in_a_test(load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no other options of files than the page has."""
    page = "docs/testing/your-extension.rst"
    for name in [name for name in config if name.startswith("ckan.files.")]:
        monkeypatch.delitem(config, name)
    parser = configparser.RawConfigParser()
    parser.read_string(documented.blocks(page, "ini")[0])
    items = parser["app:main"].items()
    options = {name: value for name, value in items if name.startswith("ckan.files.")}
    load("files", **{**options, "ckan.files.storage.attachments.path": str(tmp_path)})
    storages.reset()
    storages.collect()
    file = documented.run(page, 1)["upload"](new_user())
    assert file["storage"] == "attachments"
    assert any(tmp_path.iterdir())


@pytest.fixture
def storage(load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A portal with the options of the README for uploads, and no other storage."""
    for name in [name for name in config if name.startswith("ckan.files.storage.")]:
        monkeypatch.delitem(config, name)
    chosen: dict[str, Any] = {
        name: value.replace("/var/lib/ckan", str(tmp_path))
        for name, value in OPTIONS.items()
        if name.startswith("ckan.files.")
    }
    name = chosen[f"{UPLOADS}.storages"]
    load("files", **{**chosen, f"{UPLOADS}.allow": True, f"{UPLOADS}.storages": [name]})
    storages.reset()
    storages.collect()
    yield name
    storages.reset()


def test_upload_works_with_these_options(storage: str) -> None:
    """And is refused, with the name of the option, without the one that allows it."""
    user = new_user()
    upload = {"upload": io.BytesIO(b"hello"), "name": "a.txt"}
    stored = call("file_create", user, storage=storage, **upload)
    assert stored["storage"] == storage
    assert portal.owner(stored["id"])[0] == "user"
    with pytest.raises(tk.NotAuthorized, match=r"ckan\.files\.authenticated_uploads\.storages"):
        call("file_create", user, storage="other", **upload)
    config[f"{UPLOADS}.storages"].append("other")
    with pytest.raises(tk.ValidationError, match=r"ckan\.files\.storage\.other\.type"):
        call("file_create", user, storage="other", **upload)
    config[f"{UPLOADS}.allow"] = False
    with pytest.raises(tk.NotAuthorized, match=r"ckan\.files\.authenticated_uploads\.allow"):
        call("file_create", user, **upload)


def test_bucket(s3: str, load: Any) -> None:
    """With the lines of the page in place of the lines of the storage on disk."""
    options = documented.options_of(IN_A_BUCKET)
    name = OPTIONS[f"{UPLOADS}.storages"]
    prefix = f"ckan.files.storage.{name}."
    assert {option.rpartition(".")[0] + "." for option in options} == {prefix}
    account = {option.removeprefix(prefix): value for option, value in options.items()}
    boto3.client(
        "s3",
        endpoint_url=s3,
        aws_access_key_id=account["key"],
        aws_secret_access_key=account["secret"],
    ).create_bucket(
        Bucket=account["bucket"],
        CreateBucketConfiguration={"LocationConstraint": account["region"]},
    )
    load("files", **{**options, f"{prefix}endpoint": s3, f"{UPLOADS}.storages": [name]})
    storages.reset()
    storages.collect()
    user = new_user()
    stored = call("file_create", user, storage=name, upload=b"%PDF-1.4", name="a.pdf")
    assert stored["storage"] == name
    with pytest.raises(tk.ValidationError, match=r"image/png"):
        call("file_create", user, storage=name, upload=PNG, name="a.png")
    assert get_storage(name).settings.max_size == 100 * 2**20


def test_downloads_with_these_options(storage: str) -> None:
    """A token gives access to a file of a user, which other visitors do not get.

    An image needs the name of the storage: CKAN 2.12 would derive the storage of images from one
    with the name ``default``, and find none.
    """
    image = FileStorage(io.BytesIO(PNG), "a.png", content_type="image/png")
    admin, name = new_user(sysadmin=True), f"g-{uuid.uuid4()}"
    group = call("group_create", admin, name=name, image_upload=image)
    app = _get_test_app()
    assert app.get(group["image_display_url"]).data == PNG
    upload = {"upload": io.BytesIO(b"hello"), "name": "a.txt"}
    file = call("file_create", new_user(), storage=storage, **upload)
    token = documented.run("docs/reference/ckan-2.11.rst", 0)["token_for"](file["id"])
    assert app.get(f"/file/trusted-download/{token}").data == b"hello"
    assert app.get(f"/file/download/{file['id']}", follow_redirects=False).data != b"hello"


@pytest.fixture
def load_schema(load: Any, tmp_path: Path, monkeypatch: Any) -> Any:
    """Load a schema of ckanext-scheming.

    :param options: in place of the options for a schema of datasets: the plugins with the option
        that has the name of the file.
    """

    def load_schema(name: str, text: str, **options: str) -> None:
        # the name of a package of its own: Python keeps the packages of other tests
        package = tmp_path / f"documented_{uuid.uuid4().hex}"
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / name).write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        plugins = options.pop("ckan.plugins", "files scheming_datasets").split()
        option = next(iter(options), "scheming.dataset_schemas")
        presets = {"scheming.presets": OPTIONS["scheming.presets"]}
        load(*plugins, **presets, **{option: f"{package.name}:{name}"})

    return load_schema


def new_report(user: str, **fields: Any) -> dict[str, Any]:
    report = {"type": "report", "name": f"d-{uuid.uuid4()}", "title": "Report", **fields}
    return call("package_create", user, owner_org=organization_of(user), **report)


def test_schema_with_the_preset(load_schema: Any) -> None:
    [field] = documented.blocks("README.rst", "yaml")
    schema = documented.blocks(ATTACHMENTS, "yaml")[0]
    assert textwrap.indent(field, "") in schema
    load_schema("report.yaml", schema)
    user = new_user()
    attachment, *annexes, codebook = portal.upload(user, 4)
    resources = [{"url": "http://example.com", "codebook": codebook}]
    report = new_report(user, attachment=attachment, annexes=annexes, resources=resources)
    assert report["annexes"] == annexes
    in_dataset = ("package", report["id"], True)
    in_resource = ("resource", report["resources"][0]["id"], True)
    assert portal.owners(attachment, *annexes, codebook) == [in_dataset] * 3 + [in_resource]


def with_field(number: int) -> str:
    """Return the schema of the page with the field of another block in place of its own fields."""
    blocks = documented.blocks(ATTACHMENTS, "yaml")
    whole, field = yaml.safe_load(blocks[0]), yaml.safe_load(blocks[number])
    whole["dataset_fields"] = [*whole["dataset_fields"][:3], *field]
    whole["dataset_fields"][2]["required"] = False
    return json.dumps(whole)


def test_field_in_repeating_subfields(load_schema: Any) -> None:
    load_schema("report.json", with_field(1), **{"ckan.plugins": SUBFIELDS})
    user = new_user()
    first, second = portal.upload(user, 2)
    chapters = [{"title": "One", "document": first}, {"title": "Two", "document": second}]
    report = new_report(user, chapters=chapters)
    assert [chapter["document"] for chapter in report["chapters"]] == [first, second]
    assert portal.owners(first, second) == [("package", report["id"], True)] * 2


def test_field_of_an_organization(load_schema: Any) -> None:
    options = documented.options_of(documented.blocks(ATTACHMENTS, "ini")[1])
    [(option, value)] = [pair for pair in options.items() if pair[0] != "ckan.plugins"]
    schema = documented.blocks(ATTACHMENTS, "yaml")[2]
    name = value.partition(":")[2]
    load_schema(name, schema, **{option: value, "ckan.plugins": options["ckan.plugins"]})
    user = new_user()
    (charter,) = portal.upload(user)
    made = call("organization_create", user, name=f"o-{uuid.uuid4()}", charter=charter)
    assert made["charter"] == charter
    assert portal.owner(charter) == ("organization", made["id"], True)


def test_field_with_the_validator_only(load_schema: Any) -> None:
    load_schema("report.json", with_field(3))
    user = new_user()
    (attachment,) = portal.upload(user)
    report = new_report(user, attachment=attachment)
    assert portal.owner(attachment) == ("package", report["id"], True)


def test_field_in_python(load: Any) -> None:
    load("files", "files_test_documented_report")
    user = new_user()
    attachment, codebook = portal.upload(user, 2)
    fields = {"attachment": attachment, "resources": [{"url": "a", "codebook": codebook}]}
    name = f"d-{uuid.uuid4()}"
    with count_commits() as commits:
        report = call("package_create", user, type="report", name=name, **fields)
    assert len(commits) == 1
    assert report["attachment"] == attachment
    assert portal.owner(attachment) == ("package", report["id"], True)
    [resource] = report["resources"]
    assert resource["codebook"] == codebook
    assert portal.owner(codebook) == ("resource", resource["id"], True)
    with pytest.raises(tk.ValidationError) as raised:
        call("package_update", new_user(sysadmin=True), **{**report, "attachment": "unknown"})
    assert "attachment" in raised.value.error_dict


@pytest.fixture
def portal_of(tmp_path: Path, monkeypatch: Any, load: Any) -> Any:
    """Return a user of a portal with a plugin of a page, as it would be installed.

    :param files: of the plugin's package, with ``plugin.py``, by their paths.
    """

    def portal_of(plugin: str, **files: str) -> Client:
        package = f"documented_{plugin.lower()}"
        documented.install(tmp_path, f"documented = {package}.plugin:{plugin}")
        for path, text in {"__init__.py": "", **files}.items():
            (tmp_path / package / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / package / path).write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        load("files", "documented")
        return Client(_get_test_app())

    return portal_of


def test_templates_of_a_dataset(portal_of: Any) -> None:
    """Both forms have their field and save it, and both pages have the link."""
    blocks = documented.blocks(TEMPLATES, "html\\+jinja")
    named = {found[1]: found[0] for found in map(_NAMED.fullmatch, blocks) if found}
    plugin = documented.blocks(ATTACHMENTS, "python")[0]
    client, name = portal_of("ReportPlugin", **{"plugin.py": plugin}, **named), f"d-{uuid.uuid4()}"
    attachment, codebook, *others = portal.upload(client.name, 4)
    resources = [{"url": "http://example.com/a", "codebook": codebook}]
    fields = {"attachment": attachment, "resources": resources}
    report = client.result("package_create", type="report", name=name, **fields)
    [resource] = report["resources"]
    place = f"/report/{name}/resource/{resource['id']}"
    for form, page, field, file in (
        (f"/report/edit/{name}", f"/report/{name}", "attachment", attachment),
        (f"{place}/edit", place, "codebook", codebook),
    ):
        assert f'name="{field}" value="{file}"' in client.page(form)
        shown = client.page(page)
        assert f'href="/file/download/{file}"' in shown
        # not in CKAN's table of all fields of a resource
        assert f">{file}<" not in shown
    # the form says so: the resources stay
    phase = {"_ckan_phase": "dataset_new_1", "save": ""}
    client.submit(f"/report/edit/{name}", name=name, attachment=others[0], **phase)
    client.submit(f"{place}/edit", url="http://example.com/b", codebook=others[1], save="")
    owners = ("package", report["id"], True), ("resource", resource["id"], True)
    assert portal.owners(*others) == list(owners)


def test_field_of_a_user(portal_of: Any) -> None:
    """The form shows the field and saves it, or nothing."""
    (plugin,) = documented.blocks(TEMPLATES, "python")
    *_, template, _theme = documented.blocks(TEMPLATES, "html\\+jinja")
    named = {"plugin.py": plugin, "templates/user/edit_user_form.html": template}
    client: Client = portal_of("AvatarPlugin", **named)
    first, second = portal.upload(client.name, 2)
    email = client.result("user_show", id=client.id)["email"]
    form, known = f"/user/edit/{client.name}", {"name": client.name, "email": email, "save": ""}
    client.submit(form, **known, avatar=first)
    assert portal.owner(first) == ("user", client.id, True)
    assert f'name="avatar" value="{first}"' in client.page(form)
    status, errors = client.call("user_patch", id=client.id, about="Me", avatar="unknown")
    assert (status, set(errors)) == (409, {"avatar", "__type"})
    client.submit(form, **known, avatar=second, **{"files-take-out:avatar": f"{first} delete"})
    assert portal.owners(first, second) == [None, ("user", client.id, True)]
    client.result("user_patch", id=client.id, about="Me")
    shown = client.result("user_show", id=client.id)
    assert (shown["avatar"], shown["about"]) == (second, "Me")


def test_templates_of_ckan() -> None:
    """Each template has the block, and each is there on this version of CKAN."""
    text = (documented.ROOT / TEMPLATES).read_text()
    section = text.partition(".. _templates-of-ckan:")[2].partition(".. _field-of-a-user:")[0]
    named = re.findall(r"     - ``(\S+\.html)``: ``(\w+)``", section)
    assert len(named) == section.count("   * - ") - 1
    for template, block in named:
        html = (Path(ckan.__path__[0]) / "templates" / template).read_text()
        assert re.search(rf"{{%-? block {block}\b", html)


def test_withdrawal(load: Any) -> None:
    load("files", "files_test_documented_report")
    user, recipe = new_user(), documented.run("docs/recipes/withdrawals.rst", 0)
    old, new = portal.upload(user, 2)
    report = new_report(user, attachment=old)
    assert recipe["replace_report"](user, report["id"], new)["attachment"] == new
    assert portal.owners(old, new) == [None, ("package", report["id"], True)]


def test_field_of_a_group_in_python(tmp_path: Path, monkeypatch: Any, load: Any) -> None:
    """Groups show the field, as a field, and keep their other extras when they are saved again."""
    documented.install(tmp_path, "team = ckanext.files.tests.support.documented:TeamPlugin")
    monkeypatch.syspath_prepend(tmp_path)
    load("files", "team")
    user, name = new_user(), f"g-{uuid.uuid4()}"
    (charter,) = portal.upload(user)
    extras = [{"key": "motto", "value": "on"}]
    made = call("group_create", user, type="team", name=name, charter=charter, extras=extras)
    assert portal.owner(charter) == ("group", made["id"], True)
    call("group_patch", user, id=made["id"], title="Again")
    shown = call("group_show", user, id=made["id"])
    assert (shown["title"], shown["charter"]) == ("Again", charter)
    assert [(extra["key"], extra["value"]) for extra in shown["extras"]] == [("motto", "on")]


def test_task_in_a_validator(load: Any) -> None:
    load("files", "files_test_documented_licence")
    with engine().begin() as connection:
        connection.execute(
            sa.text("CREATE TABLE IF NOT EXISTS licence_use (dataset_id text, licence text)")
        )
    user, name = new_user(), f"d-{uuid.uuid4()}"
    with count_commits() as commits:
        dataset = call("package_create", user, type="licensed", name=name, license_id="cc-by")
    assert len(commits) == 1
    used = look("SELECT licence FROM licence_use WHERE dataset_id = :id", id=dataset["id"])
    assert used == "cc-by"


def test_action_with_a_queue(load: Any, migrate_db_for: Any) -> None:
    """With CKAN's plugin that refuses a change without a user."""
    load("files", "activity", "files_test_documented_publish")
    migrate_db_for("activity")
    user = new_user()
    organization, name = organization_of(user), f"d-{uuid.uuid4()}"
    dataset = call("package_create", user, name=name, private=True, owner_org=organization)
    with count_commits() as commits:
        call("dataset_publish", user, id=dataset["id"])
    assert len(commits) == 1
    published = shown(dataset["id"])
    assert (published["private"], published["version"]) == (False, "published")


def test_callback(load: Any) -> None:
    load("files", "files_test_documented_announce")
    announced = documented.AnnouncePlugin.after_dataset_create.__globals__["announced"]
    user, name = new_user(), f"d-{uuid.uuid4()}"
    with pytest.raises(tk.ValidationError):
        call("package_create", user, name="Not A Name")
    assert announced == []
    call("package_create", user, name=name)
    assert announced == [name]


def test_signal(load: Any) -> None:
    """The weaker way moves the file too, after the commit."""
    load("files", "files_test_documented_signal", "files_test_plain_field")
    user = new_user()
    (attachment,) = portal.upload(user)
    fields = {"type": "plain-field", "name": f"d-{uuid.uuid4()}", "attachment": attachment}
    with count_commits() as commits:
        dataset = call("package_create", user, **fields)
    assert len(commits) == 2
    assert portal.owner(attachment) == ("package", dataset["id"], True)


def test_template_of_a_test(load: Any, hooks: Any) -> None:
    load("files", "files_test_probe")
    documented.run("docs/testing/add-a-test.rst", 0)["test_dataset_and_task_are_one_commit"](hooks)


def test_names_in_the_limits_of_the_promise() -> None:
    """``docs/reference/promise.rst`` names real commands and exceptions."""
    text = (documented.ROOT / "docs/reference/promise.rst").read_text()
    for command in re.findall(r"ckan search-index ([a-z-]+)", text):
        assert command in search_index.commands
    [files] = get_commands()
    for command in re.findall(r"ckan files ([a-z-]+)", text):
        assert command in getattr(files, "commands")  # noqa: B009 - it is a group
    of_sqlalchemy = ("PendingRollbackError", "ResourceClosedError")
    for exception in re.findall(r"``(\w+Error)``", text):
        assert hasattr(shared, exception) or exception in of_sqlalchemy
    assert f"{outcome.PATIENCE:.0f} seconds" in text.replace("ten", "10")
