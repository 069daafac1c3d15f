"""Every example of the pages about background tasks and workers does what the text says."""

from __future__ import annotations

import asyncio
import configparser
import os
import re
import shlex
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import plugins
from ckan.common import config, config_declaration
from ckan.tests import factories
from procrastinate.periodic import PeriodicDeferrer

import ckanext
from ckanext.files import background, shared
from ckanext.files.background import discovery, record
from ckanext.files.background.app import app as procrastinate
from ckanext.files.background_plugin.cli import get_commands
from ckanext.files.tests.support import documented, sample
from ckanext.files.tests.support.effects import count_commits, look
from ckanext.files.tests.support.jobs import defer
from ckanext.files.tests.support.load_plugins import plugins_loaded
from ckanext.files.tests.support.portal import Client
from ckanext.files.tests.support.users import call, new_user, shown, site_user

DOCS = "docs/learning/background-tasks.rst"
RETRIES = "docs/recipes/retries.rst"
SCHEDULES = "docs/recipes/schedules.rst"
LONG_WORK = "docs/recipes/long-work.rst"
JOBS = "docs/recipes/jobs.rst"
TEST = "docs/testing/your-extension.rst"
PAGES = ("README.rst", DOCS, RETRIES, SCHEDULES, LONG_WORK, JOBS, TEST)
WORKERS = "docs/operating/workers.rst"

MODULES = {
    "tasks": [(DOCS, 0), (RETRIES, 0), (SCHEDULES, 0), *((LONG_WORK, n) for n in range(4))],
    "plugin": [(DOCS, 1), (JOBS, 1)],
    "listing": [(JOBS, 0)],
    "names": [(DOCS, 2)],
    "script": [(DOCS, 3)],
    "asking": [(DOCS, 4)],
    "test_example": [(TEST, 0)],
}
"""The modules of the example, made of Python blocks: their page and number."""


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Make the extension of the examples, as if it were installed."""
    folder = tmp_path_factory.mktemp("installed")
    package = folder / "ckanext" / "example"
    package.mkdir(parents=True)
    for module, blocks in MODULES.items():
        text = "\n\n".join(documented.blocks(path, "python")[number] for path, number in blocks)
        (package / f"{module}.py").write_text(text)
    (package / "__init__.py").write_text("")
    [entry_point] = documented.blocks(DOCS, "cfg")
    parser = configparser.RawConfigParser()
    parser.read_string(entry_point)
    [(group, points)] = parser["options.entry_points"].items()
    plugins = {"example": "ExamplePlugin", "example_praise": "PraisePlugin"}
    lines = [f"{name} = ckanext.example.plugin:{class_}" for name, class_ in plugins.items()]
    documented.install(folder, "\n".join(lines), f"[{group}]{points}\n")
    # or its tasks would be forgotten with the example's
    import_module("ckanext.files.maintenance.tasks")
    schedules = procrastinate.periodic_registry
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setattr(ckanext, "__path__", [*ckanext.__path__, str(package.parent)])
        patch.setattr(background.call, "_tasks", dict(background.call._tasks))
        patch.setattr(schedules, "periodic_tasks", dict(schedules.periodic_tasks))
        yield
        for name in [name for name in sys.modules if name.startswith("ckanext.example")]:
            del sys.modules[name]
        del ckanext.example  # pyright: ignore[reportAttributeAccessIssue]


@pytest.fixture(scope="module", autouse=True)
def loaded(example: None) -> Iterator[None]:
    with plugins_loaded("files", "files_background", "example"):
        yield


@pytest.fixture
def module(tasks: Any) -> Any:
    """The tasks of the examples."""
    return import_module("ckanext.example.tasks")


def datasets(count: int) -> list[str]:
    """Make datasets; return their names."""
    user, names = new_user(), [f"d-{uuid.uuid4()}" for _ in range(count)]
    for name in names:
        call("package_create", user, name=name)
    return names


def test_names_in_the_texts_are_public() -> None:
    for path in PAGES:
        text = (documented.ROOT / path).read_text()
        for name in re.findall(r"``(\w+Error|JobContext|manager|on_commit)``", text):
            assert hasattr(background, name) or hasattr(shared, name)


def test_readme(tasks: Any, tmp_path: Path) -> None:
    """The first example as it is pasted: a file, the options, and the commands with a worker."""
    text = (documented.ROOT / "README.rst").read_text()
    [name] = re.findall(r"This is ``(\w+\.py)``", text, re.M)
    (tmp_path / name).write_text(documented.blocks("README.rst", "python")[0])
    portal = (documented.ROOT / "test.ini").read_text()
    options = documented.blocks("README.rst", "ini")[1]
    ini = tmp_path / "ckan.ini"
    ini.write_text(portal.replace("ckan.plugins = files\n", options))
    [commands] = [text for text in documented.blocks("README.rst", "bash") if " worker " in text]
    ran = subprocess.run(
        ["bash", "-euc", commands],
        cwd=tmp_path,
        env={**os.environ, "CKAN_INI": str(ini)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert "hello world!" in ran.stdout.splitlines()
    assert "prints ``hello\nworld!``" in text
    assert [job["task_name"] for job in tasks.succeeded_jobs] == ["greeting.greet"]


def test_dataset_and_its_job(module: Any, tasks: Any) -> None:
    """There is no job without the dataset."""
    user, name = new_user(), f"d-{uuid.uuid4()}"
    with pytest.raises(tk.ValidationError):
        call("package_create", user, name="Not A Name")
    assert tasks.jobs == {}
    resources = [{"url": "http://example.com"}]
    with count_commits() as commits:
        made = call("package_create", user, name=name, resources=resources)
    assert len(commits) == 1
    [job] = tasks.pending_jobs
    assert job["args"] == {"dataset_id": made["id"]}
    assert job["task_name"] == "ckanext.example.tasks.count_resources"
    tasks.run_pending_jobs()
    assert tasks.failed_jobs == []
    assert shown(made["id"])["version"] == "1 resources"


def test_tasks_where_each_change_needs_a_user(module: Any, tasks: Any, migrate_db_for: Any) -> None:
    """With CKAN's plugin that refuses a change of a dataset without a user."""
    plugins.load("activity")
    migrate_db_for("activity")
    try:
        names = datasets(2)
        module.publish_and_praise.delay(names)
        jobs = [job["task_name"].split(".")[-1] for job in tasks.pending_jobs]
        assert jobs == ["count_resources", "count_resources", "publish_and_praise"]
        tasks.run_pending_jobs()
        assert tasks.failed_jobs == []
    finally:
        plugins.unload("activity")


def test_options(module: Any, monkeypatch: Any) -> None:
    """The options of the examples, and options that the texts name."""
    names = {str(key) for key in config_declaration.iter_options()}
    options = documented.options(DOCS)
    assert set(options) <= names
    text = "".join((documented.ROOT / path).read_text() for path in documented.PAGES)
    named = set(re.findall(r"``(ckanext\.files\.background\.\w+)``", text))
    assert len(named) > 1
    assert named <= names
    option = "ckanext.files.background.task_modules"
    monkeypatch.setitem(config, option, options[option])
    assert (f"option {option}", "ckanext.example.tasks") in list(discovery._named())


def test_entry_point(module: Any) -> None:
    [point] = [each for each in entry_points(group=discovery.GROUPS[0]) if each.name == "tasks"]
    assert point.load()() == ["ckanext.example.tasks"]
    origins = [origin for origin, name in discovery._named() if name == "ckanext.example.tasks"]
    assert origins == ["plugin example"]
    assert discovery.not_loaded == []


def test_commands(tasks: Any) -> None:
    """Each command of the documentation is one, and each one is there."""
    defer(sample.noop.configure(queue="mails"))  # the commands refuse the name of no queue
    texts = [(documented.ROOT / path).read_text() for path in (*PAGES, WORKERS)]
    found = re.findall(r"ckan(?: -c \S+)? files background ([^`\n]+)", "\n".join(texts))
    given = [shlex.split(command.replace("ID", "1")) for command in sorted(set(found))]
    [files] = get_commands()
    commands = vars(files)["commands"]["background"].commands
    for name, *arguments in given:
        commands[name].make_context(name, arguments)
    assert {name for name, *_ in given} == set(commands)


def test_services() -> None:
    """Both wait longer than a worker takes to stop."""
    parsers = []
    for block in documented.blocks(WORKERS, "ini"):
        if block.startswith(("[Unit]", "[program:")):
            parsers.append(parser := configparser.RawConfigParser())
            parser.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]
            parser.read_string(block)
    systemd, supervisor = parsers
    patience = config["ckanext.files.background.shutdown_timeout"]
    service, program = systemd["Service"], supervisor["program:ckan-files-worker"]
    assert service["ExecStart"] == program["command"]
    assert int(service["TimeoutStopSec"]) == int(program["stopwaitsecs"]) > patience + 10
    assert (service["KillMode"], service["Restart"]) == ("mixed", "always")
    assert (program["stopsignal"], program["autorestart"]) == ("TERM", "true")


def test_script(tasks: Any) -> None:
    script = import_module("ckanext.example.script")
    seen = look("SELECT args FROM ckanext_files_background.procrastinate_jobs")
    assert seen == {"dataset_id": "water-levels"}
    assert list(tasks.jobs) == [script.job.id]


def test_ways_to_ask(tasks: Any) -> None:
    asking = import_module("ckanext.example.asking")
    asking.ask()
    later, much_later, slow, *rest = tasks.pending_jobs
    minutes = (later["scheduled_at"] - datetime.now(timezone.utc)).total_seconds() / 60
    assert 58 < minutes <= 60
    assert much_later["scheduled_at"].year == 2040
    assert slow["queue_name"] == "slow"
    names = [job["args"]["dataset_id"] for job in rest]
    assert names == ["water-levels", "rain", "water-levels"]
    assert asyncio.run(asking.ask_from_async_code()) in tasks.jobs


@pytest.fixture
def address() -> Iterator[str]:
    """Of a server that answers each request with an error."""
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_retries(module: Any, tasks: Any, address: str, monkeypatch: Any) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    refused = module.tell.delay(address)
    unreachable = module.tell.delay("http://127.0.0.1:1")
    fetched = module.fetch.delay(address)
    tasks.run_pending_jobs()
    assert [job["id"] for job in tasks.failed_jobs] == [refused.id]
    for job, seconds in ((unreachable, 3), (fetched, 120)):
        row = tasks.jobs[job.id]
        assert (row["status"], row["attempts"]) == ("todo", 1)
        wait = (row["scheduled_at"] - datetime.now(timezone.utc)).total_seconds()
        assert seconds - 3 < wait <= seconds
    found = record.find(refused.id)
    assert found
    assert "501" in str(found.error)
    assert "raise_for_status" in str(found.traceback)


def test_periodic(module: Any, tasks: Any) -> None:
    registered = procrastinate.periodic_registry
    night = datetime(2030, 5, 1, 3, 0, 20, tzinfo=timezone.utc).timestamp()
    for _ in range(2):
        deferrer = PeriodicDeferrer(registered)
        asyncio.run(deferrer.defer_jobs(deferrer.get_previous_tasks(at=night)))
    jobs = {job["task_name"].rsplit(".")[-1]: job for job in tasks.jobs.values()}
    assert len(tasks.jobs) == len(jobs)
    assert jobs["tidy_up"]["args"] == {"timestamp": night - 20}
    assert jobs["look_after"]["queue_name"] == "health"


def test_long_work(module: Any, tasks: Any) -> None:
    names = datasets(3)
    tasks.reset()
    job = module.publish_and_praise.delay(names)
    assert tasks.run_pending_jobs().steps == 5
    assert tasks.failed_jobs == []
    assert shown(names[0])["version"] == "all done"
    found = record.find(job.id)
    assert found
    assert (found.percent, found.text) == (100, "")
    assert found.parts
    assert [name.split(".")[-1] for name in found.parts.tasks] == ["publish", "praise"]


def test_calls_as_arguments(module: Any, tasks: Any) -> None:
    names = datasets(2)
    tasks.reset()
    module.twice.delay(module.publish(names, 2))
    # at its second run the call begins where the first has ended
    assert tasks.run_pending_jobs().steps == 3
    assert tasks.failed_jobs == []


def test_job_that_looks_whether_it_is_wanted(module: Any, tasks: Any, monkeypatch: Any) -> None:
    job = module.watch.delay(1)
    monkeypatch.setattr(background.JobContext, "should_abort", lambda self: True)
    tasks.run_pending_jobs()
    assert tasks.jobs[job.id]["status"] == "aborted"
    assert module.watch.timeout == 3600


def test_work_that_commits_by_itself(
    module: Any, tasks: Any, address: str, monkeypatch: Any
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    dataset = factories.Dataset(resources=[{"url": address}])
    module.measure.delay(dataset["resources"][0]["id"])
    tasks.run_pending_jobs()
    assert tasks.failed_jobs == []
    assert shown(dataset["id"])["resources"][0]["size"] > 0


def test_location(tasks: Any, app: Any) -> None:
    plugins.load("example_praise")
    try:
        client = Client(app)
        response = client.ask("package_create", name=f"d-{uuid.uuid4()}")
    finally:
        plugins.unload("example_praise")
    [job_id] = [id_ for id_, job in tasks.jobs.items() if job["task_name"].endswith("praise")]
    address = response.headers["Taskqueue-Location"]
    assert address == f"{config['ckan.site_url']}/api/3/action/files_job_show?id={job_id}"
    text = (documented.ROOT / JOBS).read_text()
    assert address.split("/api/")[1].split("=")[0] in text
    _, shown_job = client.call("files_job_show", id=job_id)
    told = ("status", "percent", "text", "step", "attempts", "error")
    assert set(told) <= set(shown_job)


def test_example_of_a_test(tasks: Any) -> None:
    test = import_module("ckanext.example.test_example").test_resources_are_counted
    marks = {mark.name: mark.args for mark in test.pytestmark}
    assert marks == {
        "ckan_config": ("ckan.plugins", "files files_background example"),
        "usefixtures": ("with_plugins",),
    }
    assert config["ckan.plugins"] == ["files", "files_background", "example"]
    test(tasks)


def test_list_of_all_jobs(module: Any, tasks: Any) -> None:
    for _ in range(25):
        module.praise.delay("x")
    found = import_module("ckanext.example.listing").all_jobs(site_user(), task=module.praise.name)
    assert len(list(found)) == 25
