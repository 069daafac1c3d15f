"""Definitions of schedules; the tests of workers show that jobs run at the times."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ckanext.files.background import Task, TaskDefinitionError, manager, periodic
from ckanext.files.background.app import app
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")

NAME = f"{__name__}.clean"


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[Any, Any]:
    """The schedules of a test."""
    registry: dict[Any, Any] = {}
    monkeypatch.setattr(app.periodic_registry, "periodic_tasks", registry)
    return registry


@pytest.fixture
def clean(make_task: Any) -> Task[Any]:
    @make_task
    def clean(timestamp: int, after: Any = None) -> None: ...

    return clean


def test_two_schedules_of_one_task(clean: Task[Any], registry: dict[Any, Any]) -> None:
    often = manager.periodic(cron="*/5 * * * * *", periodic_id="often", queue="slow")
    assert manager.periodic(cron="0 * * * *")(often(clean)) is clean
    crons = {key: schedule.cron for key, schedule in registry.items()}
    assert crons == {(NAME, ""): "0 * * * *", (NAME, "often"): "*/5 * * * * *"}
    # the first one would be lost without a word
    with pytest.raises(TaskDefinitionError, match=rf"{NAME} .*periodic_id ''"):
        periodic(cron="30 * * * *")(clean)
    assert {key: schedule.cron for key, schedule in registry.items()} == crons


def test_a_module_that_is_reloaded(make_task: Any, registry: dict[Any, Any]) -> None:
    for cron in ("1 * * * *", "2 * * * *"):

        @periodic(cron=cron)
        @make_task
        def clean(timestamp: int) -> None: ...

        assert registry[NAME, ""].cron == cron


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        ({"cron": "every day"}, "'every day' of task .*clean"),
        ({"cron": "61 * * * *"}, "'61 "),
        ({"cron": ""}, "''"),
        ({"cron": "0 0 30 2 *"}, "'0 0 30 2 .' of task .*clean cannot be: failed to find"),
        ({"cron": "0 0 1 1 * 0 2099"}, "a year comes once"),
        ({"cron": "R * * * *"}, "'R .* of task .*clean cannot be: H and R would be other times"),
        ({"cron": "H(0-5) * * * *"}, "H and R would be other times"),
        ({"timezone": "Berlin"}, "there is no time zone 'Berlin'"),
        ({"priority": "high"}, "priority 'high'"),
        ({"queue": "q" * 41}, "queue .* longer than 40"),
        ({"periodic_id": "x" * 129}, "periodic_id x+ is longer than 128"),
        ({"periodic_id": 5}, "periodic_id 5 is no string"),
        ({"countdown": 60}, "countdown: cron gives the times"),
        ({"eta": dt.datetime(2040, 1, 1, tzinfo=dt.timezone.utc)}, "eta"),
        ({"colour": "red"}, "colour"),
        ({"task_kwargs": {"when": 1}}, "when"),
        ({"task_kwargs": {"after": {1}}}, "'after' of task .*set"),
    ],
    ids=lambda each: str(each)[:50],
)
def test_schedules_that_are_wrong(
    options: Any, culprit: str, clean: Any, registry: dict[Any, Any]
) -> None:
    with pytest.raises(TaskDefinitionError, match=culprit) as raised:
        periodic(**{"cron": "* * * * *"} | options)(clean)
    assert NAME in str(raised.value)
    assert registry == {}


def test_arguments_and_options_are_what_jobs_keep(make_task: Any, registry: Any) -> None:
    """What cannot be written as it was given would stop all schedules."""

    @make_task(queue="slow", lock="one")
    def clean(timestamp: int, after: Any) -> None: ...

    arguments = {"after": sample.write("x")}
    periodic(cron="* * * * *", priority=3, lock=None, task_kwargs=arguments)(clean)
    kept = registry[NAME, ""].configure_kwargs
    assert kept["task_kwargs"]["after"] == sample.write("x").as_json()
    assert (kept["queue"], kept["lock"], kept["priority"]) == ("slow", "one", 3)
    assert arguments == {"after": sample.write("x")}


def test_what_can_have_no_schedule(clean: Any) -> None:
    """A task without the timestamp, and what is below the task instead of above."""
    for task, culprit in (
        (sample.noop, r"sample\.noop.*timestamp"),
        (clean.function, r"@periodic goes above @task: .*function"),
        (clean(1), r"@periodic goes above @task: .*clean\(.*\) is no"),
    ):
        with pytest.raises(TaskDefinitionError, match=culprit):
            periodic(cron="0 * * * *")(task)
