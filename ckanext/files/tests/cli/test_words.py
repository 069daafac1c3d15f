"""All commands have the same words, exit codes and completions, and print JSON."""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from ckan import model
from click.shell_completion import ShellComplete

from ckanext.files.background import Job, queues, schema
from ckanext.files.background.schema import SCHEMA
from ckanext.files.ckan_jobs_plugin.cli import get_commands
from ckanext.files.cli.output import print_json
from ckanext.files.store.storages import storages
from ckanext.files.tests.background.conftest import job_tables, no_jobs_left
from ckanext.files.tests.support import portal, sample
from ckanext.files.tests.support.console import document, run, run_background
from ckanext.files.tests.support.effects import change, engine
from ckanext.files.tests.support.jobs import defer
from ckanext.files.tests.support.load_plugins import plugins_loaded, storage_options
from ckanext.files.tests.support.users import new_user, organization_of

__all__ = ["job_tables", "no_jobs_left"]

INTERACTIVE = {"background shell", "background worker"}
"""Commands that report nothing at their end."""


@pytest.fixture(scope="module", autouse=True)
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("checked")
    options = storage_options("checked", type="files:fs", path=folder, initialize=True)
    with plugins_loaded("files", "files_background", "files_test_forms", **options):
        yield
    storages.reset()


def commands(group: Any = None, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield all commands with their names."""
    for name, command in vars(group or get_commands()[0])["commands"].items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} ")
        else:
            yield path + name, command


def options() -> Iterator[tuple[str, str, click.Option]]:
    """Yield the names of commands and of their options, and the options."""
    for name, command in commands():
        for option in command.params:
            if isinstance(option, click.Option):
                yield name, max(option.opts, key=len), option


def test_options_with_one_name_are_one() -> None:
    by_name: dict[str, set[Any]] = {}
    for _, name, option in options():
        help_ = option.help if name in ("--dry-run", "--json") else None
        by_name.setdefault(name, set()).add((*option.opts, type(option.type), help_))
    assert [name for name, found in by_name.items() if len(found) > 1] == []
    assert {name for name, _ in commands()} - {
        command for command, name, _ in options() if name == "--json"
    } == INTERACTIVE


def test_exit_codes() -> None:
    """2 for a wrong command line; the help names each other code but 0."""
    for name, command in commands():
        assert run_background(*name.split()[1:], "--wrong")[0] == 2 or "background" not in name
        if "background" not in name:
            assert run(*name.split(), "--wrong")[0] == 2
        assert not re.search(r"exit (code|status)(?! is 1)", command.help or ""), name


def test_hint_of_an_owner_type() -> None:
    code, said = run("claim", "dataset", "attachment")
    assert (code, "CKAN calls a dataset 'package' here." in said) == (2, True)
    assert "Did you mean organization?" in run("claim", "organisation", "attachment")[1]


# JSON


def test_json_of_files() -> None:
    folder = Path(str(storages["checked"].settings.path))
    code, found = document("check", "checked")
    checked = {"storage": "checked", "files": 0, "missing": [], "strays": []}
    assert (code, found) == (0, {"storages": [checked], "spool": None})
    (folder / "left").write_text("left")
    code, found = document("check", "checked")
    (folder / "left").unlink()
    assert (code, found) == (1, {"storages": [{**checked, "strays": ["left"]}], "spool": None})
    assert document("repair-index") == (0, {"repaired": [], "failed": {}})
    assert document("expire-uploads") == (0, {"removed": 0, "unfinished": 0, "failed": {}})
    author, field = new_user(), f"doc-{uuid.uuid4()}"
    file, foreign = portal.upload(author)[0], portal.upload(new_user())[0]
    dataset = portal.new_dataset(author, type="dataset", extras=[{"key": field, "value": file}])
    other = [{"key": field, "value": foreign}]
    org = organization_of(author)
    portal.new_dataset(author, type="dataset", extras=other, owner_org=org)
    code, found = document("claim", "package", field, "--dry-run")
    assert code == 1
    [refused] = found.pop("refused")
    assert (refused["file_id"], set(refused)) == (foreign, {"file_id", "where", "reason"})
    assert found == {"dry_run": True, "given": [file], "theirs": []}
    assert document("claim", "package", field)[0] == 1
    assert portal.owner(file) == ("package", dataset["id"], True)
    portal.delete_file(foreign)


@pytest.fixture
def queue() -> Iterator[str]:
    name = f"q-{uuid.uuid4().hex[:8]}"
    yield name
    queues.resume(name)
    model.Session.commit()


def test_json_of_jobs(job_tables: Any, queue: str) -> None:
    assert document("background", "init") == (0, {"schema": SCHEMA, "made": False})
    code, sent = document("background", "send", sample.write.name, "name=a")
    job_id = sent["id"]
    assert (code, sent) == (0, {"id": job_id, "task": sample.write.name, "args": {"name": "a"}})
    code, listed = document("background", "list", "--task", sample.write.name)
    assert (code, listed["count"], listed["count_is_exact"]) == (0, 1, True)
    [job] = listed["jobs"]
    code, shown = document("background", "show", str(job_id))
    assert {name: shown[name] for name in job} == job
    assert shown["args"] == {"name": "a"}
    assert [event["type"] for event in shown["events"]] == ["deferred"]
    paused = {"queues": [{"queue": queue, "changed": True}]}
    assert document("background", "pause", "--new", queue) == (0, paused)
    paused["queues"][0]["changed"] = False
    assert document("background", "pause", queue) == (1, paused)
    assert document("background", "resume", queue)[0] == 0
    code, found = document("background", "cancel", str(job_id), "1" * 12)
    texts = [(job["changed"], job["text"]) for job in found["jobs"]]
    assert (code, texts) == (1, [(True, "is cancelled"), (False, "does not exist")])
    code, found = document("background", "retry", str(job_id))
    assert (code, found["jobs"][0]["text"]) == (0, "waits to run again")
    assert document("background", "status")[0] == 1
    document("background", "cancel", str(job_id))
    code, found = document("background", "purge", "--older-than", "0", "--status", "cancelled")
    assert (code, found["dry_run"], found["jobs"]) == (0, False, {"cancelled": found["deleted"]})


def test_json_has_times_and_sets(capsys: pytest.CaptureFixture[str]) -> None:
    noon = dt.datetime(2040, 1, 1, 12, tzinfo=dt.timezone.utc)
    print_json({"at": noon, "ids": {"b", "a"}})
    assert json.loads(capsys.readouterr().out) == {"at": noon.isoformat(), "ids": ["a", "b"]}
    with pytest.raises(TypeError, match="nothing for"):
        print_json({"range": range(3)})


def test_error_leaves_stdout_empty() -> None:
    code, said = run_background("show", "1" * 12, "--json")
    assert (code, said) == (1, f"Error: Job {'1' * 12} does not exist\n")


# Completion


def completed(*words: str) -> list[str]:
    """Return what a shell offers for the last word of ``ckan files ...``."""
    *given, incomplete = words
    found = ShellComplete(get_commands()[0], {}, "files", "").get_completions(given, incomplete)
    return [item.value for item in found]


@pytest.fixture
def queued(job_tables: Any) -> Job:
    return defer(sample.noop.configure(queue="queue-of-a-job"))


def test_completion(queued: Job) -> None:
    assert completed("re") == ["repair-index"]
    assert completed("background", "st") == ["status"]
    assert completed("background", "list", "--d") == []
    assert completed("check", "ch") == ["checked"]
    assert completed("claim", "org") == ["organization"]
    assert completed("background", "send", sample.noop.name[:-1]) == [sample.noop.name]
    assert completed("background", "list", "--task", sample.noop.name) == [sample.noop.name]
    assert completed("background", "purge", "--status", "ca") == ["cancelled"]
    assert completed("background", "cancel", "--status", "wa") == ["waiting"]
    for command in ("list -q", "list --queue", "pause", "resume", "worker -q", "worker"):
        assert completed("background", *command.split(), "queue-of") == ["queue-of-a-job"], command


def test_completion_without_tables(job_tables: Any) -> None:
    model.Session.remove()
    change(f"DROP SCHEMA {SCHEMA} CASCADE")
    try:
        assert completed("background", "pause", "queue-of") == []
        assert "default" in completed("background", "pause", "")
    finally:
        schema.install(engine())
