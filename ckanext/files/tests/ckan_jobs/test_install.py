"""Putting rows under ``ckan.lib.jobs``, and taking them away again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk
import click
import pytest
import rq
from ckan.cli.jobs import jobs as ckans_jobs
from ckan.config.environment import load_environment
from ckan.exceptions import CkanConfigurationException
from ckan.lib import jobs
from ckan.lib.jobs import enqueue, get_queue, job_from_id, test_job
from ckan.lib.redis import connect_to_redis
from click.testing import CliRunner

from ckanext.files.background.call import is_known
from ckanext.files.ckan_jobs import policy
from ckanext.files.ckan_jobs.errors import PolicyError
from ckanext.files.ckan_jobs.job import Job
from ckanext.files.ckan_jobs.queue import Queue
from ckanext.files.tests.support.effects import change
from ckanext.files.tests.support.jobs import S
from ckanext.files.tests.support.load_plugins import plugins_loaded

early_enqueue_job = tk.enqueue_job
"""As an extension has it that imports it when CKAN starts, before any plugin is configured."""

NAMES = ("_queues", "Job", "get_all_queues", "get_queue", "enqueue", "job_from_id", "Worker")


def test_early_imports(name: str) -> None:
    """Also of a queue that this process has used before: it was RQ's then."""
    for ask in (early_enqueue_job, enqueue):
        job = ask(test_job, ["x"], queue=name)
        assert type(job) is type(job_from_id(job.id)) is Job
        assert type(get_queue(name)) is Queue
        assert get_queue(name).job_ids[-1] == job.id
    assert not connect_to_redis().keys(f"*{name}*")


def test_process_installs_again(name: str) -> None:
    """CKAN configures its plugins whenever it loads its environment, as each fork of RQ did."""
    for _ in range(2):
        load_environment(tk.config)
        assert type(get_queue(name)) is Queue
        assert jobs.Job is Job


def test_all_threads_have_one_queue(name: str) -> None:
    found: set[int] = set()
    threads = [threading.Thread(target=lambda: found.add(id(get_queue(name)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {id(get_queue(name))}


def test_unloading_restores_everything(name: str) -> None:
    stand_ins = {each: getattr(jobs, each) for each in NAMES}
    assert is_known(f"{test_job.__module__}.test_job")
    with plugins_loaded("files", "files_background"):
        stock = {each: getattr(jobs, each) for each in NAMES}
        assert {each for each in NAMES if stock[each] is not stand_ins[each]} == {
            "_queues",
            "Job",
            "Worker",
            "get_all_queues",
        }
        assert stock["Job"] is rq.job.Job
        assert issubclass(stock["Worker"], rq.Worker)
        assert not is_known(f"{test_job.__module__}.test_job")
        assert type(ckans_jobs) is click.Group
        job = early_enqueue_job(test_job, queue=name)
        try:
            assert type(job) is type(job_from_id(job.id)) is rq.job.Job
            assert get_queue(name) in jobs.get_all_queues()
        finally:
            get_queue(name).delete()


def test_needs_the_plugin_before_it() -> None:
    with (
        pytest.raises(CkanConfigurationException, match="files files_background files_jobs"),
        plugins_loaded("files", "files_jobs"),
    ):
        pass
    assert jobs.Job is rq.job.Job


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("retries", "1 xloader=many", "'xloader=many' is neither a number nor NAME=NUMBER"),
        ("retries", "-1", "'-1' is neither a number"),
        ("retries", "=3", "'=3' is neither a number"),
        ("retries", "a=1 a=2", "two numbers for a"),
        ("retries", "1 2", "two numbers for all others"),
        ("atomic", "update_totals", "'update_totals' is no path of a function"),
        ("atomic", "example.jobs:update", "no path of a function"),
    ],
)
def test_options_without_a_meaning(option: str, value: str, words: str, ckan_config: Any) -> None:
    ckan_config[f"ckanext.files.jobs.{option}"] = value.split()
    with pytest.raises(PolicyError, match=words):
        policy.check()


def test_ckan_does_not_start_with_them() -> None:
    options: Any = {"ckanext.files.jobs.retries": "many"}
    with (
        pytest.raises(CkanConfigurationException, match="'many' is neither a number"),
        plugins_loaded("files", "files_background", "files_jobs", **options),
    ):
        pass


@pytest.fixture
def no_tables() -> Iterator[None]:
    change(f"ALTER SCHEMA {S} RENAME TO set_aside")
    yield
    change(f"ALTER SCHEMA set_aside RENAME TO {S}")


def test_tables_are_missing(no_tables: None, caplog: pytest.LogCaptureFixture) -> None:
    """CKAN starts, so that the command can create them. Nothing goes to Redis meanwhile."""
    with caplog.at_level(logging.CRITICAL):
        load_environment(tk.config)
    [message] = [r.getMessage() for r in caplog.records if "files_jobs" not in r.name]
    assert "ckan files background init" in message
    assert type(get_queue()) is Queue


@pytest.mark.parametrize("command", ["list", "test", "clear", "show 1", "cancel 1", "worker"])
def test_ckans_commands_without_tables(
    command: str, no_tables: None, caplog: pytest.LogCaptureFixture
) -> None:
    """Each says in one line what to run, and the configuration does not say it before."""

    @click.command(cls=click.Group)
    def ckan() -> None:
        load_environment(tk.config)

    ckan.add_command(ckans_jobs)
    with caplog.at_level(logging.CRITICAL):
        found = CliRunner().invoke(ckan, ["jobs", *command.split()])
    words = "The tables of background tasks are missing. Run: ckan files background init"
    assert (found.exit_code, found.output) == (1, f"Error: {words}\n")
    assert caplog.records == []


@pytest.fixture(autouse=True)
def plugins_of_the_package() -> Iterator[None]:
    """Load the plugins of the other tests again, if a test has unloaded them."""
    yield
    if not p.plugin_loaded("files_jobs"):
        p.load_all()
