"""Tasks that the tests run, in this process and in workers."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
from ckan import model

from ckanext.files.background import (
    Call,
    JobContext,
    current_job,
    set_progress,
    task,
)
from ckanext.files.tests.support.effects import Effects


def effect(name: str) -> None:
    """Write a row into the tests' own table, without a commit."""
    Effects().write(name)


@task
def noop() -> None:
    """Do nothing."""


@task
def write(name: str) -> None:
    effect(name)


@task
def fail_after(name: str) -> None:
    effect(name)
    raise ValueError(f"{name} is wrong")


@task
def commit_and_fail(name: str) -> None:
    effect(name)
    model.Session.commit()
    raise ValueError("after its own commit")


@task(percent=lambda name, total, remaining: 100 * (total - remaining) / total)
def count_down(name: str, total: int, remaining: int) -> Call | str:
    effect(f"{name}-{remaining}")
    if remaining:
        return count_down(name, total, remaining - 1)
    return "finished"


@task
def write_and_patch(name: str, dataset: str, title: str) -> None:
    """Write an effect, and change a dataset, in Solr too."""
    effect(name)
    tk.get_action("package_patch")({"ignore_auth": True}, {"id": dataset, "title": title})


@task
def flaky(name: str, failures: int, countdown: float = 0) -> None:
    """Fail that many times, and be tried again each time."""
    job = current_job()
    assert job
    effect(f"{name}-{job.retries}")
    if job.retries < failures:
        flaky.retry(countdown=countdown, max_retries=5)


@task(pass_context=True)
def remember(context: JobContext, name: str) -> None:
    effect(f"{name}-{context.id}-{context.user_id}")


@task
def tell(name: str, percent: float, text: str) -> None:
    set_progress(percent, text)


@task
def anything(*args: Any, **kwargs: Any) -> None:
    """Take any arguments."""


@task
def note_time(timestamp: int) -> None:
    """Write down the time for which it was deferred."""
    effect(f"at-{timestamp}")
