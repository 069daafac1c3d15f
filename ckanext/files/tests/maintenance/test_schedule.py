"""Tasks run by themselves when the configuration says so, and never otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model, plugins
from ckan.common import config, config_declaration
from ckan.exceptions import CkanConfigurationException

from ckanext.files.background import overview
from ckanext.files.background.app import app
from ckanext.files.background.schema import SCHEMA
from ckanext.files.background.testing import TasksManager
from ckanext.files.background.worker.schedule import Schedule as Clock
from ckanext.files.maintenance.schedule import Schedule, scheduled, schedules
from ckanext.files.tests.support.maintained_site import loaded_with, outcome, row, stored, upload

PREFIX = "ckanext.files.maintenance"
SCHEDULES: dict[str, Any] = {
    f"{PREFIX}.unattached.schedule": "* * * * *",
    f"{PREFIX}.unattached.days": 40,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("maintenance")


@pytest.fixture(scope="module", autouse=True)
def loaded(folder: Path) -> Iterator[None]:
    with loaded_with(folder, **SCHEDULES):
        yield


def test_defaults() -> None:
    """Nothing runs by itself, and nothing is changed, unless it is configured so."""
    names = [str(key) for key in config_declaration.iter_options() if str(key).startswith(PREFIX)]
    off = [name for name in names if name.endswith(".schedule")]
    assert len(off) == 6
    assert all(config_declaration[name].default == "" for name in off)  # pyright: ignore[reportArgumentType]
    careful = [name for name in names if name.endswith(".dry_run")]
    assert len(careful) == 4
    assert all(config_declaration[name].default is True for name in careful)  # pyright: ignore[reportArgumentType]


def test_what_is_on() -> None:
    assert schedules() == [Schedule("unattached", "* * * * *")]
    assert scheduled.schedules == {"unattached"}


def defer_by_the_clock() -> None:
    """Let a worker look at the clock that has known the schedule for a while."""
    Clock().defer()
    model.Session.execute(sa.text(f"UPDATE {SCHEMA}.files_schedule SET since = since - 600"))
    model.Session.commit()
    Clock().defer()


def test_run_by_the_clock(tasks: TasksManager) -> None:
    """The task only reports what it would do, unless the configuration says otherwise."""
    old, young = upload(days=41), upload(days=39)
    defer_by_the_clock()
    [job] = tasks.pending_jobs
    assert job["args"]["name"] == "unattached"
    assert job["lock"] == f"{PREFIX}.delete_unattached"
    tasks.run_pending_jobs()
    assert outcome(job["id"])[:2] == ("succeeded", "1 would be deleted")
    assert row(old)
    assert row(young)


def test_dry_run_is_off(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """The task uses the options of the time at which it runs."""
    upload(days=41)
    job = scheduled.delay("unattached", 0)
    monkeypatch.setitem(config, f"{PREFIX}.unattached.dry_run", False)
    tasks.run_pending_jobs()
    assert outcome(job.id)[1] == "1 deleted"
    assert stored("here") == {}


def test_one_waits_at_a_time(tasks: TasksManager) -> None:
    options: Any = {"lock": f"{PREFIX}.delete_unattached", "queueing_lock": f"{PREFIX}.unattached"}
    scheduled.configure(**options).delay("unattached", 0)
    defer_by_the_clock()
    assert len(tasks.pending_jobs) == 1


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("unattached", {"days": 1}, "1 deleted"),
        ("abandoned", {"give_to": ""}, "nothing to do"),
        ("missing", {"storages": ["here"]}, "1 there"),
        ("strays", {"storages": ["here"], "hours": 1}, "nothing to do"),
        ("checksums", {"storages": ["here"]}, "1 verified"),
        ("move", {"source": "here", "target": "there"}, "1 moved"),
    ],
)
def test_each(
    tasks: TasksManager,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    options: dict[str, Any],
    said: str,
) -> None:
    upload(days=2)
    for option, value in {**options, "dry_run": False}.items():
        monkeypatch.setitem(config, f"{PREFIX}.{name}.{option}", value)
    job = scheduled.delay(name, 0)
    tasks.run_pending_jobs()
    assert outcome(job.id)[:2] == ("succeeded", said)


def test_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin: Any = plugins.get_plugin("files_background")
    monkeypatch.setitem(config, f"{PREFIX}.timezone", "Europe/Berlin")
    plugin.configure(config)
    [mine] = [each for each in overview.schedules() if each.periodic_id == "unattached"]
    assert (mine.timezone, mine.next.tzname() in ("CET", "CEST")) == ("Europe/Berlin", True)
    monkeypatch.undo()
    plugin.configure(config)


def test_off_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in a process that has loaded the plugin before."""
    plugin: Any = plugins.get_plugin("files_background")
    monkeypatch.setitem(config, f"{PREFIX}.unattached.schedule", "")
    plugin.configure(config)
    assert scheduled.schedules == set()
    assert (scheduled.name, "unattached") not in app.periodic_registry.periodic_tasks
    monkeypatch.undo()
    plugin.configure(config)
    assert scheduled.schedules == {"unattached"}


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
def test_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, str], said: str
) -> None:
    for name, value in options.items():
        monkeypatch.setitem(config, f"{PREFIX}.{name}", value)
    plugin: Any = plugins.get_plugin("files_background")
    with pytest.raises(CkanConfigurationException, match=said):
        plugin.configure(config)
