"""Tasks run when the configuration, a command or an extension says so: the examples of the page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model, plugins
from ckan.common import config, config_declaration
from ckan.exceptions import CkanConfigurationException

from ckanext.files.background import overview
from ckanext.files.background.app import app as background
from ckanext.files.background.schema import SCHEMA
from ckanext.files.background.testing import TasksManager
from ckanext.files.background.worker.schedule import Schedule as Clock
from ckanext.files.maintenance import tasks as all_tasks
from ckanext.files.maintenance.schedule import Schedule, scheduled, schedules
from ckanext.files.tests.support import documented
from ckanext.files.tests.support import maintained_site as site
from ckanext.files.tests.support.console import output
from ckanext.files.tests.support.effects import count_commits
from ckanext.files.tests.support.load_plugins import storage_options
from ckanext.files.tests.support.users import call, new_user

PAGE = "docs/operating/maintenance.rst"
TEXT = (documented.ROOT / PAGE).read_text()
PREFIX = "ckanext.files.maintenance"

EACH_MINUTE = {"unattached.schedule": "* * * * *", "unattached.days": 40}


@pytest.fixture(scope="module", autouse=True)
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("maintenance")
    storages = [
        storage_options(name, type="files:fs", path=folder / name, initialize="true")
        for name in ("uploads", "archive")
    ]
    with site.loaded_with(folder, **storages[0], **storages[1]):
        yield


@contextmanager
def configured(options: dict[str, Any]) -> Iterator[None]:
    """Configure the plugin with other options, as a process does that has loaded it before."""
    plugin: Any = plugins.get_plugin("files_background")
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in options.items():
                patch.setitem(config, f"{PREFIX}.{name}", value)
            plugin.configure(config)
            yield
    finally:
        plugin.configure(config)


def _defer_by_the_clock() -> None:
    """Let a worker look at the clock that has known the schedule for a while."""
    Clock().defer()
    model.Session.execute(sa.text(f"UPDATE {SCHEMA}.files_schedule SET since = since - 600"))
    model.Session.commit()
    Clock().defer()


def test_defaults() -> None:
    """Nothing runs by itself, and nothing is changed, unless it is configured so."""
    names = [str(key) for key in config_declaration.iter_options() if str(key).startswith(PREFIX)]
    off = [name for name in names if name.endswith(".schedule")]
    assert len(off) == 7
    assert all(config_declaration[name].default == "" for name in off)  # pyright: ignore[reportArgumentType]
    careful = [name for name in names if name.endswith(".dry_run")]
    assert len(careful) == 4
    assert all(config_declaration[name].default is True for name in careful)  # pyright: ignore[reportArgumentType]


def test_options_of_the_page() -> None:
    options = documented.options(PAGE).items()
    assert all(name in config_declaration for name, _ in options)
    parsed = {name: config_declaration[name].normalize(value) for name, value in options}  # pyright: ignore[reportArgumentType]
    with configured({name.removeprefix(f"{PREFIX}."): value for name, value in parsed.items()}):
        names = [schedule.task for schedule in schedules()]
        assert names == ["unattached", "abandoned", "missing", "strays", "checksums"]
        assert config["ckanext.files.maintenance.unattached.dry_run"] is False
        assert config["ckanext.files.maintenance.strays.hours"] == 48


def test_run_by_the_clock(tasks: TasksManager) -> None:
    """The task only reports what it would do, unless the configuration says otherwise."""
    old, young = site.upload(days=41), site.upload(days=39)
    with configured(EACH_MINUTE):
        assert schedules() == [Schedule("unattached", "* * * * *")]
        assert scheduled.schedules == {"unattached"}
        _defer_by_the_clock()
        [job] = tasks.pending_jobs
        assert job["args"]["name"] == "unattached"
        assert job["lock"] == f"{PREFIX}.delete_unattached"
        tasks.run_pending_jobs()
    # the schedule is taken out, in the same process
    assert scheduled.schedules == set()
    assert (scheduled.name, "unattached") not in background.periodic_registry.periodic_tasks
    assert site.outcome(job["id"])[:2] == ("succeeded", "1 would be deleted")
    assert site.row(old)
    assert site.row(young)


def test_one_waits_at_a_time(tasks: TasksManager) -> None:
    options: Any = {"lock": f"{PREFIX}.delete_unattached", "queueing_lock": f"{PREFIX}.unattached"}
    scheduled.configure(**options).delay("unattached", 0)
    with configured(EACH_MINUTE):
        _defer_by_the_clock()
    assert len(tasks.pending_jobs) == 1


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("unattached", {"days": 1}, "1 deleted"),
        ("abandoned", {"give_to": ""}, "nothing to do"),
        ("missing", {"storages": ["here"]}, "1 with their bytes"),
        ("strays", {"storages": ["here"], "hours": 1}, "nothing to do"),
        ("checksums", {"storages": ["here"]}, "1 verified"),
        ("move", {"source": "here", "target": "there"}, "1 moved"),
    ],
)
def test_each_task_with_its_options(
    tasks: TasksManager,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    options: dict[str, Any],
    said: str,
) -> None:
    """The task uses the options of the time at which it runs."""
    site.upload(days=2)
    job = scheduled.delay(name, 0)
    for option, value in {**options, "dry_run": False}.items():
        monkeypatch.setitem(config, f"{PREFIX}.{name}.{option}", value)
    tasks.run_pending_jobs()
    assert site.outcome(job.id)[:2] == ("succeeded", said)


def test_time_zone() -> None:
    with configured({**EACH_MINUTE, "timezone": "Europe/Berlin"}):
        schedules = overview.schedules(model.Session.connection())
        [mine] = [each for each in schedules if each.periodic_id == "unattached"]
        assert (mine.timezone, mine.next.tzname() in ("CET", "CEST")) == ("Europe/Berlin", True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"strays.schedule": "every day"}, "strays.schedule is 'every day', which is invalid"),
        ({"strays.schedule": "0 0 30 2 *"}, "strays.schedule is '0 0 30 2 ..*failed to find"),
        ({"strays.schedule": "0 0 1 1 * 0 2027"}, "a year comes once"),
        ({"strays.schedule": "61 * * * *"}, "strays.schedule is '61"),
        ({"strays.schedule": "R 3 * * *"}, "strays.schedule is 'R 3 .* other times in each"),
        ({"timezone": "Berlin"}, "maintenance.timezone is invalid: there is no time zone 'Berlin'"),
        ({"move.schedule": "0 2 * * *", "move.source": "here"}, "move.target is needed"),
    ],
)
def test_refused_at_the_start(options: dict[str, str], said: str) -> None:
    with pytest.raises(CkanConfigurationException, match=said), configured(options):
        pass


def test_table_of_the_page_names_all_tasks() -> None:
    table = TEXT.partition("=====\nTask ")[2].partition("\n\n")[0]
    named = set(re.findall(r"^``(\w+)``", table, re.M))
    own = {"remove_bytes", "remove_seen_strays"}  # of other tasks
    assert named == set(all_tasks.__all__) - own


def test_commands_of_the_page(tasks: TasksManager) -> None:
    old = site.upload(new_user(), storage="default", days=61)
    moved = site.upload(storage="uploads", days=1)

    def send(number: int) -> str:
        """Give a command of the page; return what its job has done."""
        command = re.findall(r"^    ckan files background (send .+)$", TEXT, re.M)[number]
        job_id = int(output(*command.split()).split()[1])
        tasks.run_pending_jobs()
        return site.outcome(job_id)[1]

    dry = send(0)
    assert site.row(old)
    assert send(1) == dry.replace("would be deleted", "deleted")
    assert site.row(old) is None
    send(2)
    now = site.row(moved)
    assert now["storage"] == "archive"
    path = Path(config[f"{site.OPTION}.archive.path"], now["location"])
    assert path.read_bytes() == b"hello"
    call("file_delete", None, id=moved)


def test_in_an_extension(tasks: TasksManager) -> None:
    old = site.upload(new_user(), storage="default", days=61)
    documented.run(PAGE, 0)
    model.Session.commit()
    tasks.run_pending_jobs()
    assert site.row(old) is None


def test_verify_each_upload(tasks: TasksManager) -> None:
    create = documented.run(PAGE, 1)["VerifyingPlugin"].get_actions(None)["file_create"]
    core, user = tk.get_action("file_create"), new_user()

    def upload_it(**data: Any) -> Any:
        context: Any = {"user": user, "session": model.Session}
        return create(core, context, {"name": "a.txt", "upload": b"hello", **data})

    with count_commits() as commits:
        file = upload_it(storage="default")
    assert len(commits) == 1
    tasks.run_pending_jobs()
    [job] = tasks.jobs
    assert site.outcome(job)[:2] == ("succeeded", f"a.txt: md5 is {file['hash']}, as it was stored")
    with pytest.raises((tk.NotAuthorized, tk.ValidationError)):
        upload_it(storage="nowhere")
    assert list(tasks.jobs) == [job]
