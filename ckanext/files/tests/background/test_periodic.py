"""Definitions of schedules; the tests of workers show that jobs run at the times."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ckanext.files.background import TaskDefinitionError, manager, periodic
from ckanext.files.background.app import app
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.job_rows import Define
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")


def schedules() -> dict[tuple[str, str], str]:
    return {key: schedule.cron for key, schedule in app.periodic_registry.periodic_tasks.items()}


def test_two_schedules_of_one_task(define: Define) -> None:
    module = define("""
        @manager.periodic(cron="0 * * * *")
        @manager.periodic(cron="*/5 * * * * *", periodic_id="often", queue="slow")
        @manager.task
        def clean(timestamp: int) -> None: ...
    """)
    assert isinstance(module.clean, type(sample.noop))
    mine = {key: cron for key, cron in schedules().items() if key[0] == "files_test_tasks.clean"}
    assert mine == {
        ("files_test_tasks.clean", ""): "0 * * * *",
        ("files_test_tasks.clean", "often"): "*/5 * * * * *",
    }


def test_schedules_of_one_id(define: Define) -> None:
    """The first would be lost without a word."""
    with pytest.raises(TaskDefinitionError, match=r"files_test_tasks\.clean .*periodic_id ''"):
        define("""
            @periodic(cron="0 * * * *")
            @periodic(cron="30 * * * *")
            @task
            def clean(timestamp): ...
        """)


def test_a_module_that_is_reloaded(define: Define) -> None:
    source = """
        @periodic(cron="{} * * * *")
        @task
        def clean(timestamp): ...
    """
    for minute in (1, 2):
        define(source.format(minute))
        assert schedules()["files_test_tasks.clean", ""] == f"{minute} * * * *"


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
        ({"cron": "* * * * *", "timezone": "Berlin"}, "there is no time zone 'Berlin'"),
        ({"cron": "* * * * *", "priority": "high"}, "priority 'high'"),
        ({"cron": "* * * * *", "queue": "q" * 41}, "queue .* longer than 40"),
        ({"cron": "* * * * *", "periodic_id": "x" * 129}, "periodic_id x+ is longer than 128"),
        ({"cron": "* * * * *", "periodic_id": 5}, "periodic_id 5 is no string"),
        ({"cron": "* * * * *", "countdown": 60}, "countdown: cron gives the times"),
        ({"cron": "* * * * *", "eta": dt.datetime(2040, 1, 1, tzinfo=dt.timezone.utc)}, "eta"),
        ({"cron": "* * * * *", "colour": "red"}, "colour"),
        ({"cron": "* * * * *", "task_kwargs": {"when": 1}}, "when"),
        ({"cron": "* * * * *", "task_kwargs": {"more": {1}}}, "'more' of task .*set"),
    ],
)
def test_schedules_that_are_wrong(define: Define, options: Any, culprit: str) -> None:
    before = schedules()
    module = define("""
        @task
        def clean(timestamp, more=None): ...
    """)
    with pytest.raises(TaskDefinitionError, match=culprit) as raised:
        periodic(**options)(module.clean)
    assert "files_test_tasks.clean" in str(raised.value)
    assert schedules() == before


def test_arguments_and_options_are_what_jobs_keep(define: Define) -> None:
    """What cannot be written as it was given would stop all schedules."""
    module = define("""
        @task(queue="slow", lock="one")
        def clean(timestamp, after): ...
    """)
    arguments = {"after": sample.write("x")}
    periodic(cron="* * * * *", priority=3, lock=None, task_kwargs=arguments)(module.clean)
    kept: Any = app.periodic_registry.periodic_tasks[module.clean.name, ""].configure_kwargs
    assert kept["task_kwargs"]["after"] == sample.write("x").as_json()
    assert (kept["queue"], kept["lock"], kept["priority"]) == ("slow", "one", 3)
    assert arguments == {"after": sample.write("x")}


def test_a_task_without_the_timestamp(define: Define) -> None:
    module = define("""
        @task
        def clean(): ...
    """)
    with pytest.raises(TaskDefinitionError, match=r"files_test_tasks\.clean.*timestamp"):
        manager.periodic(cron="0 * * * *")(module.clean)


def test_below_the_task_instead_of_above() -> None:
    with pytest.raises(TaskDefinitionError, match=r"@periodic goes above @task: .*function"):
        periodic(cron="0 * * * *")(sample.noop.function)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TaskDefinitionError, match=r"@periodic goes above @task: .*noop\(\) is no"):
        periodic(cron="0 * * * *")(sample.noop())  # pyright: ignore[reportArgumentType]
