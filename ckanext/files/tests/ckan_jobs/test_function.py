"""How a worker runs a function; run here by the worker's own code for steps."""

from __future__ import annotations

import datetime as dt
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan.lib import jobs
from rq import Callback, Retry
from rq.timeouts import JobTimeoutException, TimerDeathPenalty

from ckanext.files.background import UnknownTaskError, send_task
from ckanext.files.background.call import find_task
from ckanext.files.background.record import JobRecord
from ckanext.files.background.testing import TasksManager
from ckanext.files.ckan_jobs import timeout
from ckanext.files.ckan_jobs.function import FunctionTask
from ckanext.files.ckan_jobs.job import Job
from ckanext.files.tests.ckan_jobs.test_queue import row, set_state
from ckanext.files.tests.support import functions
from ckanext.files.tests.support.effects import change
from ckanext.files.tests.support.jobs import S, effects_of, let_time_pass, shown
from ckanext.files.tests.support.sample import noop

pytestmark = pytest.mark.usefixtures("effects")


def enqueue(function: Any, *args: Any, title: str | None = None, **options: Any) -> Any:
    return tk.enqueue_job(function, list(args), title=title, rq_kwargs=options)


@pytest.fixture
def run(tasks: TasksManager) -> Callable[[Any], JobRecord]:
    """Run a job, and all others that wait; return what is known of it then."""

    def run(job: Any) -> JobRecord:
        tasks.run_pending_jobs()
        return shown(row(job))

    return run


def test_own_commits_are_real(run: Any, name: str) -> None:
    """What the function leaves without a commit is dropped, as with RQ."""
    job = enqueue(functions.commit, name, title="Title")
    assert run(job).status == "succeeded"
    assert effects_of(name) == [f"{name}-{job.id}"]
    assert job.get_status() == "finished"
    assert job.result == {"run": job.id}


def test_atomic(run: Any, name: str, ckan_config: Any) -> None:
    """One commit, with all that the function has written; none if it fails."""
    paths = [f"{functions.__name__}.{each}" for each in ("commit", "fail")]
    with_option(ckan_config, "atomic", paths)
    job = enqueue(functions.commit, name)
    assert run(job).status == "succeeded"
    assert effects_of(name) == [f"{name}-{job.id}", f"{name}-left"]
    assert job.result == {"run": job.id}
    failed = enqueue(functions.fail, f"x{name}")
    assert run(failed).status == "failed"
    assert effects_of(f"x{name}") == []
    with_option(ckan_config, "atomic", [])
    run(enqueue(functions.fail, f"x{name}"))
    assert len(effects_of(f"x{name}")) == 1  # negative control


def with_option(ckan_config: Any, option: str, value: Any) -> None:
    ckan_config[f"ckanext.files.jobs.{option}"] = value


@pytest.mark.parametrize("value", [None, 0, [1, {"a": dt.date(2020, 2, 2)}]])
def test_result(value: Any, run: Any) -> None:
    job = enqueue(functions.give_back, value)
    run(job)
    assert Job.fetch(job.id).result == value


def test_result_that_pickle_cannot_hold(run: Any, name: str) -> None:
    job = enqueue(functions.give_back, functions.Loader(name))
    assert run(job).status == "succeeded"
    assert job.result.name == name
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(functions, "give_back", lambda value: lambda: value)
        failed = run(enqueue(f"{functions.__name__}.give_back", 1))
    assert failed.status == "failed"
    assert "pickle" in failed.error


def test_methods_and_calls(run: Any, name: str) -> None:
    """A bound method; a call that is returned goes on as the job's next step."""
    job = enqueue(functions.Loader(name).load)
    assert run(job).status == "succeeded"
    assert effects_of(name) == [f"{name}-{job.id}"]
    job = enqueue(functions.go_on_with_a_task, f"x{name}")
    found = run(job)
    assert (found.status, found.step) == ("succeeded", 2)
    assert effects_of(f"x{name}") == [f"x{name}"]


def test_callbacks(run: Any, name: str) -> None:
    """RQ's, with its arguments. One that fails is a failure of the job."""
    options = {"on_success": functions.succeeded, "on_failure": functions.failed}
    job = enqueue(functions.commit, name, **options)
    run(job)
    assert effects_of(f"{name}-succeeded") == [f"{name}-succeeded-{job.id}-finished"]
    failed = f"{name}-fails"
    assert run(enqueue(functions.fail, failed, **options)).error == "ValueError: it fails"
    assert effects_of(f"{failed}-failed") == [f"{failed}-failed-ValueError-it fails"]
    broken = f"{name}-broken"
    callbacks = {"on_success": Callback(functions.break_down), "on_failure": functions.failed}
    assert run(enqueue(functions.commit, broken, **callbacks)).error.startswith("RuntimeError")
    assert len(effects_of(f"{broken}-failed-RuntimeError")) == 1


def test_callback_takes_too_long(run: Any, name: str) -> None:
    """It is interrupted by RQ's exception; in the words of both, whichever timer RQ has used."""
    TimerDeathPenalty(60, JobTimeoutException)  # changes the class
    failed = run(
        enqueue(
            functions.commit,
            name,
            on_success=Callback(functions.dawdle, timeout=1),
            on_failure=Callback(functions.failed),
        )
    )
    assert failed.status == "failed"
    words = "The job has passed its timeout, or is to end at once"
    assert failed.error == f"{timeout.__name__}.JobTimeoutException: {words}"
    assert effects_of(f"{name}-failed") == [f"{name}-failed-JobTimeoutException-{words}"]


@pytest.fixture(params=[False, True], ids=["own commits", "atomic"])
def run_in_time(request: Any, ckan_config: Any, monkeypatch: Any) -> Callable[[Any], JobRecord]:
    """Run a job as a worker that looks at deadlines; its function may be atomic."""
    paths = [f"{functions.__name__}.{each}" for each in ("give_slow_result", "fail")]
    with_option(ckan_config, "atomic", paths if request.param else [])
    monkeypatch.setattr("ckanext.files.background.worker.execution._GRACE", 0.1)

    def run_in_time(job: Any) -> JobRecord:
        jobs.Worker().work(burst=True)
        return shown(row(job))

    return run_in_time


def test_timeout_is_over_with_the_function(run_in_time: Any, name: str) -> None:
    """As with RQ: ``on_success`` has a time of its own, and the result is kept after it."""
    options = {"timeout": 1, "on_success": functions.outlast, "retry": Retry(max=1)}
    job = enqueue(functions.give_slow_result, name, **options)
    found = run_in_time(job)
    assert (found.status, found.error) == ("succeeded", None)
    assert effects_of(f"{name}-outlasted") == [f"{name}-outlasted-{job.id}"]
    assert job.result == name


def test_timeout_hides_no_error_of_the_function(run_in_time: Any, name: str) -> None:
    """The job fails in the words of the function, and has its retries."""
    options = {"timeout": 1, "on_failure": functions.outlast, "retry": Retry(max=1)}
    job = enqueue(functions.fail, name, **options)
    found = run_in_time(job)
    assert (found.status, found.error) == ("failed", "ValueError: it fails")
    ids = [job.id, f"{job.id}-run-2"]
    assert effects_of(f"{name}-outlasted") == [f"{name}-outlasted-{each}" for each in ids]


def test_exc_info(run: Any, name: str) -> None:
    job = enqueue(functions.fail, name)
    assert job.exc_info is None
    run(job)
    assert job.is_failed
    assert "ValueError: it fails" in (job.exc_info or "")


# retries


def test_no_retry_by_default(run: Any, name: str) -> None:
    found = run(enqueue(functions.fail, name))
    assert (found.status, found.attempts) == ("failed", 1)


def test_retry_of_the_caller(run: Any, name: str, ckan_config: Any) -> None:
    """It counts more than the site's options. Each run has an id of its own, which is found."""
    with_option(ckan_config, "retries", ["7"])
    job = enqueue(functions.fail, name, 2, retry=Retry(max=3))
    found = run(job)
    assert (found.status, found.attempts) == ("succeeded", 3)
    ids = [job.id, f"{job.id}-run-2", f"{job.id}-run-3"]
    assert effects_of(name) == [f"{name}-{each}" for each in ids]
    for rq_id in ids:
        assert Job.fetch(rq_id).id == rq_id
        assert Job.fetch(rq_id).result == "at last"
        assert Job.fetch(rq_id).meta["run"] == ids[-1]
        assert Job.exists(rq_id)
    for run in ("run-4", "run-1", "run-0", "2", "run-2-run-2"):
        assert not Job.exists(f"{job.id}-{run}")


def test_intervals(run: Any, name: str) -> None:
    """As RQ has them: the first one is repeated."""
    job = enqueue(functions.fail, name, retry=Retry(max=3, interval=[100, 200]))
    waits = []
    for _ in range(3):
        assert run(job).status == "todo"
        waits.append(round((row(job).scheduled_at - now()).total_seconds(), -1))
        assert job.get_status() == "scheduled"
        let_time_pass()
    assert waits == [100, 100, 200]
    assert run(job).status == "failed"


def test_intervals_of_a_retry_that_is_returned(run: Any, name: str) -> None:
    """As RQ has these: the last one is repeated."""
    job, waits = enqueue(functions.ask_again, name, 3, 100, 200), []
    for _ in range(3):
        assert run(job).status == "todo"
        waits.append(round((row(job).scheduled_at - now()).total_seconds(), -1))
        let_time_pass()
    assert waits == [100, 200, 200]
    assert run(job).status == "failed"


def now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc)


@pytest.mark.parametrize(
    ("option", "retries"),
    [
        ([], 0),
        (["2"], 2),
        (["2", "default=1"], 1),
        (["2", "other=1"], 2),
        (["2", "default=1", f"{functions.__name__}.fail=0"], 0),
    ],
)
def test_retries_of_the_site(
    option: list[str], retries: int, run: Any, name: str, ckan_config: Any
) -> None:
    """By function, by queue, or for all."""
    with_option(ckan_config, "retries", option)
    with_option(ckan_config, "retry_wait", 0)
    found = run(enqueue(functions.fail, name))
    assert (found.status, found.attempts) == ("failed", 1 + retries)
    assert found.error == "ValueError: it fails"


def test_retry_that_is_returned(run: Any, name: str) -> None:
    found = run(enqueue(functions.ask_again, name, 2))
    assert (found.status, found.attempts) == ("failed", 3)
    assert len(effects_of(name)) == 3


# what does not run


def test_ttl(run: Any, name: str) -> None:
    late = enqueue(functions.refuse_to_begin, name, ttl=59)
    change(
        f"UPDATE {S}.procrastinate_jobs SET scheduled_at = now() - interval '61 s' WHERE id = :id",
        id=row(late).id,
    )
    found = run(late)
    assert (found.status, late.get_status()) == ("cancelled", "canceled")
    assert "its ttl of 59 seconds" in found.error
    in_time = enqueue(functions.commit, name, ttl=60)
    assert run(in_time).status == "succeeded"


class Bomb:
    """Does something when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self._path,)


def test_forged_row_runs_nothing(run: Any, name: str, tmp_path: Path) -> None:
    """Neither the function nor a callback; nothing of the hash is unpickled."""
    job = enqueue(functions.commit, name, on_failure=functions.failed)
    mark = tmp_path / "unpickled"
    bomb = pickle.dumps(Bomb(mark))
    change(f"UPDATE {S}.files_rq_job SET hash = :hash WHERE rq_id = :id", hash=bomb, id=job.id)
    found = run(job)
    assert (found.status, job.get_status()) == ("failed", "failed")
    assert "ForgedJobError" in found.error
    assert "SECRET_KEY" in found.error
    assert effects_of(name) == []
    assert not mark.exists()
    pickle.loads(bomb)
    assert mark.exists()  # negative control


def test_row_of_another_job(run: Any, name: str) -> None:
    """A signed hash runs only with its own id."""
    job, other = enqueue(functions.commit, name), enqueue(functions.commit, f"x{name}")
    change(
        f"""UPDATE {S}.files_rq_job r SET hash = o.hash, signature = o.signature
        FROM {S}.files_rq_job o WHERE r.rq_id = :id AND o.rq_id = :other""",
        id=job.id,
        other=other.id,
    )
    assert "ForgedJobError" in run(job).error
    assert effects_of(name) == []
    assert effects_of(f"x{name}") == [f"x{name}-{other.id}"]


def test_row_of_another_function(run: Any, name: str, ckan_config: Any) -> None:
    """The options of one function are not for another one, of which the signed job is."""
    with_option(ckan_config, "atomic", [f"{functions.__name__}.fail"])
    job = enqueue(functions.commit, name)
    rename(job, f"{functions.__name__}.fail")
    failed = run(job)
    assert failed.status == "failed"
    assert "ForgedJobError" in failed.error
    assert effects_of(name) == []
    rename(job, f"{functions.__name__}.commit")
    job.requeue()
    assert run(job).status == "succeeded"  # negative control


def rename(job: Any, task: str) -> None:
    change(
        f"UPDATE {S}.procrastinate_jobs SET task_name = :task WHERE id = :id",
        task=task,
        id=row(job).id,
    )


def test_long_name(run: Any, name: str, monkeypatch: Any) -> None:
    """The row has a part of it."""
    long = "commit_" + 128 * "x"
    monkeypatch.setattr(functions, long, functions.commit, raising=False)
    job = enqueue(f"{functions.__name__}.{long}", name)
    assert run(job).status == "succeeded"


def test_function_is_gone(run: Any) -> None:
    found = run(enqueue("ckanext.files.no_such_module.work"))
    assert found.status == "failed"
    assert found.error == "ValueError: Invalid attribute name: work"  # RQ's words


def test_task_is_unknown(tasks: TasksManager, name: str) -> None:
    """What no task and no job has is refused as without the plugin."""
    job = send_task("mails.send", [name])
    tasks.run_pending_jobs()
    found = shown(job)
    assert found.status == "failed"
    assert "There is no task mails.send: its source was deleted" in str(found.error)
    for use in (lambda: find_task(f"{noop.name}s").delay(), lambda: find_task("a.b").function):
        with pytest.raises(UnknownTaskError):
            use()
    assert isinstance(find_task("mails.send"), FunctionTask)
    assert find_task(noop.name) is noop


def test_task_that_a_function_goes_on_with_is_unknown(run: Any, name: str) -> None:
    found = run(enqueue(functions.go_on_with_no_task, name))
    assert (found.status, found.step) == ("failed", 1)
    assert "There is no task mails.send: its source was deleted" in str(found.error)


def test_deleted_while_it_runs(run: Any, name: str) -> None:
    """It goes on, as with RQ."""
    job = enqueue(functions.commit, name)
    change(f"UPDATE {S}.files_rq_job SET current = false WHERE rq_id = :id", id=job.id)
    assert run(job).status == "succeeded"
    assert effects_of(name) == [f"{name}-{job.id}"]


def test_logs(run: Any, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """CKAN's lines, in its own logger; none of them has arguments."""
    with caplog.at_level(logging.INFO, jobs.__name__):
        job = enqueue(functions.fail, f"{name}-secret", title="Load")
        caplog.clear()
        run(job)
    found = [r.getMessage() for r in caplog.records if r.name == jobs.__name__]
    assert len(found) == 2
    started = f'starts job {job.id} (Load) from queue "default", number {row(job).id}'
    assert found[0].endswith(started)
    assert f"Job {job.id} on worker" in found[1]
    assert found[1].endswith("raised an exception: it fails")
    assert "secret" not in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO, jobs.__name__):
        run(enqueue(functions.commit, name))
    assert "has finished job" in caplog.records[-1].getMessage()


def test_log_of_an_error_with_a_cause(
    run: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, jobs.__name__):
        run(enqueue(functions.fail_with_cause, name))
    assert any(r.getMessage().endswith("raised an exception: it fails") for r in caplog.records)


def test_worker_warns_of_what_may_be_misspelt(
    name: str, ckan_config: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """In queues and in paths of functions; what is right is not named."""
    there, gone = f"{functions.__name__}.fail", f"{functions.__name__}.fial"
    module = jobs.__name__
    with_option(ckan_config, "atomic", [there, gone, f"{module}.Worker.work", f"{module}.log"])
    retries = ["1", "xloader=3", f"{there}=2", "no_such.module.f=2", f"{module}=2"]
    with_option(ckan_config, "retries", retries)
    tk.enqueue_job(functions.commit, [name], queue=name)
    for queues in ([name], [f"{name}s", "default"]):
        jobs.Worker(queues).work(burst=True)
    found = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    found = [each for each in found if " no " in each]
    paths = [
        f"ckanext.files.jobs.atomic: {gone} names no function: ",
        f"ckanext.files.jobs.atomic: {module}.log names no function: it is of type Logger",
        "ckanext.files.jobs.retries: no_such.module.f names no function, unless it is a queue: ",
        f"ckanext.files.jobs.retries: {module} names no function, unless it is a queue: "
        "it is of type module",
    ]
    words = [
        *paths,
        f"Queue {name}s has no jobs, and no task or schedule names it. Did you mean {name}?",
        *paths,
    ]
    assert len(found) == len(words)
    assert all(map(str.startswith, found, words)), found


def test_later_run_that_is_asked_for_again(run: Any, name: str) -> None:
    """It is a job of its own, and is signed as such."""
    job = enqueue(functions.fail, name, 1, retry=Retry(max=1))
    assert run(job).status == "succeeded"
    again = Job.fetch(f"{job.id}-run-2")
    jobs.get_queue().enqueue_job(again)
    assert run(again).status == "succeeded"


def test_rerun_by_a_sysadmin(run: Any, name: str) -> None:
    """Another run, another id."""
    job = enqueue(functions.fail, name, 1)
    assert run(job).status == "failed"
    Job.fetch(job.id).requeue()
    assert run(job).status == "succeeded"
    assert effects_of(name) == [f"{name}-{job.id}", f"{name}-{job.id}-run-2"]
    set_state(job, "failed")
    assert Job.fetch(f"{job.id}-run-2").requeue().id == f"{job.id}-run-2"
    assert row(job).status == "todo"
