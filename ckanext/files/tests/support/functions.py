"""Functions that extensions have as jobs."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import ckan.plugins.toolkit as tk
import requests
import rq
import sqlalchemy as sa
from ckan import model
from ckan.lib.jobs import job_from_id
from rq.timeouts import JobTimeoutException

from ckanext.files.background import Call, current_job, set_progress
from ckanext.files.tests.support.effects import look
from ckanext.files.tests.support.jobs import effect_at_once, effects_of
from ckanext.files.tests.support.sample import effect, write
from ckanext.files.tests.support.waiting import wait_for

_OPEN = """
    SELECT count(*) FROM pg_stat_activity
    WHERE state LIKE 'idle in transaction%' AND application_name LIKE 'ckan-files-worker:%'
      AND datname = current_database()
"""


def _job() -> Any:
    job = rq.get_current_job()
    assert job
    return job


def _wait(seconds: float) -> None:
    """Wait so that an exception can interrupt it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)


def commit(name: str) -> Any:
    """Write which run it is, commit, and write something more."""
    _job().meta["run"] = _job().id
    _job().save_meta()
    effect(f"{name}-{_job().id}")
    model.Session.commit()
    effect(f"{name}-left")
    return {"run": _job().id}


def fail(name: str, times: int = 1000) -> str:
    """Fail at so many runs, after a commit."""
    commit(name)
    if len(effects_of(f"{name}-")) <= times:
        raise ValueError("it fails")
    return "at last"


def fail_with_cause(_name: str) -> None:
    try:
        {}["missing"]
    except KeyError as error:
        raise ValueError("it fails") from error


def give_back(value: Any) -> Any:
    return value


def ask_again(name: str, most: int, *intervals: int) -> Any:
    """Return RQ's wish for a retry."""
    commit(name)
    return rq.Retry(max=most, interval=[*intervals] or 0)


def go_on_with_a_task(name: str) -> Any:
    return write(name)


def go_on_with_no_task(name: str) -> Any:
    """Return a call of a task that no process has, as of one that was renamed."""
    return Call("mails.send", {"name": name})


def refuse_to_begin(name: str) -> None:
    raise AssertionError(name)


def succeeded(job: Any, connection: Any, result: Any) -> None:
    """What RQ calls after a success."""
    effect(f"{job.args[0]}-succeeded-{result['run']}-{job.get_status(refresh=False).value}")
    model.Session.commit()


def failed(job: Any, connection: Any, kind: Any, error: Any, traceback: Any) -> None:
    """What RQ calls after a failure."""
    model.Session.rollback()
    effect(f"{job.args[0]}-failed-{kind.__name__}-{error}")
    model.Session.commit()


def dawdle(job: Any, connection: Any, result: Any) -> None:
    """Take longer than a callback may."""
    for _ in range(3000):
        time.sleep(0.01)


def outlast(job: Any, *_: Any) -> None:
    """Go on for longer than the function of the job may."""
    _wait(job.timeout + 1)
    effect_at_once(f"{job.args[0]}-outlasted-{job.id}")


class SlowToPickle:
    """A result that takes two seconds to pickle, and is a name afterwards."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __reduce__(self) -> Any:
        _wait(2)
        return str, (self._name,)


def give_slow_result(name: str) -> Any:
    return SlowToPickle(name)


def break_down(job: Any, *_: Any) -> None:
    raise RuntimeError("the callback fails, too")


def sleep(name: str, seconds: float) -> None:
    """Read something, and go on without the database."""
    effect_at_once(f"{name}-begun-{_job().id}")
    model.Session.query(model.Package).first()
    model.Session.commit()
    effect_at_once(f"{name}-open-{look(_OPEN)}")
    _wait(seconds)
    effect_at_once(f"{name}-ended")


def clean_up(name: str) -> None:
    """Go on until the timeout, as xloader does, and fail in its own words."""
    try:
        sleep(name, 600)
    except JobTimeoutException as error:
        effect(f"{name}-clean-{type(error).__name__}")
        model.Session.commit()
        raise ValueError("too slow") from None


def catch(name: str) -> str:
    """Go on until the timeout, and return."""
    try:
        sleep(name, 600)
    except Exception as error:
        return str(error)
    return ""


def hold(name: str) -> str:
    """Wait for the test at the first run."""
    effect(f"{name}-begun-{_job().id}")
    model.Session.commit()
    if current_job().attempts == 0:  # pyright: ignore[reportOptionalMemberAccess]
        wait_for(lambda: effects_of(f"go-{name}"), 600)
    return _job().id


def call_own_site(url: str, token: str, dataset: str, title: str) -> None:
    """Change a dataset, commit, and change it over HTTP."""
    context: Any = {"ignore_auth": True}
    tk.get_action("package_patch")(context, {"id": dataset, "notes": title})
    answer = requests.post(
        f"{url}/api/action/package_patch",
        json={"id": dataset, "title": title},
        headers={"Authorization": token},
        timeout=30,
    )
    answer.raise_for_status()


def progress(name: str) -> None:
    set_progress(40, "four of ten")
    job = _job()
    job.meta["of RQ"] = name
    job.save_meta()
    wait_for(lambda: effects_of(f"go-{name}"), 600)


class Loader:
    """An object whose method is a job, with what pickle holds."""

    def __init__(self, name: str) -> None:
        self.name = name

    def load(self) -> None:
        commit(self.name)


def note_process(name: str) -> int:
    effect_at_once(f"{name}-{_job().id}")
    time.sleep(0.05)
    return os.getpid()


def kill_the_worker(name: str) -> None:
    effect_at_once(f"{name}-{_job().id}")
    os.kill(os.getpid(), signal.SIGKILL)


def lock_elsewhere(name: str) -> str:
    """Take a lock in another database, and at the first run wait for the test."""
    url = model.meta.engine.url.set(database="postgres")  # pyright: ignore[reportOptionalMemberAccess]
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": name})
        effect_at_once(f"{name}-locked-{_job().id}")
        if not _job().id.endswith("-run-2"):
            wait_for(lambda: effects_of(f"go-{name}"), 600)
    engine.dispose()
    return _job().id


def read(path: str) -> None:
    Path(path).read_bytes()  # no exception interrupts this call


def begin_and_end(name: str) -> str:
    """Commit twice, with time to be killed in between."""
    for what in ("begun", "ended"):
        effect(f"{name}-{what}-{_job().id}")
        model.Session.commit()
        time.sleep(0.05)
    return _job().id


def once(name: str) -> str:
    """Write what the job before has returned, with time to be killed before the commit."""
    [before] = _job().dependency_ids
    effect(f"{name}-once-{_job().id}-after-{job_from_id(before).result}")
    model.Session.commit()
    time.sleep(0.05)
    return _job().id
