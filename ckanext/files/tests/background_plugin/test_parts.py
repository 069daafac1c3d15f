"""A chain is shown by its parts: on pages, in notices, by actions and commands."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest
from ckan import model

from ckanext.files.background import chain
from ckanext.files.background.schema import SCHEMA
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.background_plugin.conftest import Cast
from ckanext.files.tests.background_plugin.test_pages import get
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.console import output
from ckanext.files.tests.support.effects import change
from ckanext.files.tests.support.jobs import defer
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background", "files_test_probe")

TITLE = "count_down → write → fail_after"
NAMES = [task.name for task in (sample.count_down, sample.write, sample.fail_after)]


def texts(body: str) -> str:
    """Return the texts of a page, each after one space."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_a_chain(cast: Cast, ask_for: Any, tasks: TasksManager, unique: Any) -> None:
    """Its title names its parts; the number of the part that it is at moves on, until it fails."""
    name = unique("job")
    calls = [sample.count_down(name, 2, 2), sample.write(f"{name}-b"), sample.fail_after(name)]
    job = ask_for(lambda: chain.delay(calls))

    def shown() -> tuple[dict[str, Any], str, str, str]:
        [listed] = cast.owner.result("files_job_list")["results"]
        assert listed["title"] == TITLE
        assert (listed["parts"]["tasks"], listed["parts"]["total"]) == (NAMES, 3)
        line = output("list").splitlines()[1]
        assert TITLE in line
        pages = (f"/job/{job.id}", "/dashboard/jobs")
        page, row = (texts(get(cast.owner, path).body) for path in pages)
        assert TITLE in page
        assert TITLE in row
        return listed, page, row, output("show", str(job.id))

    for steps, number in ((0, 1), (1, 1), (2, 2)):
        tasks.run_pending_jobs(most=steps)
        listed, page, row, said = shown()
        task = NAMES[number - 1]
        part = f"art {number} of 3: {task.rpartition('.')[2]}"
        assert listed["parts"]["done"] == number - 1
        assert f"P{part}" in page
        assert f"P{part}" in row
        assert f"P{part}" in said
        state = "waiting" if steps == 0 else "running"
        assert f"{task} {state}" in page
        assert f"  {number}. {task}  {state}\n" in said
    tasks.run_pending_jobs()
    listed, page, row, said = shown()
    assert (listed["status"], listed["parts"]["done"]) == ("failed", 2)
    parts = f"{NAMES[0]} succeeded {NAMES[1]} succeeded {NAMES[2]} failed"
    assert f"Part 3 of 3: fail_after {name} is wrong" in row
    assert parts in page
    assert f'\n  2. {NAMES[1]}\n    name = "{name}-b"\n' in said


def test_a_chain_that_has_succeeded(tasks: TasksManager, cast: Cast, ask_for: Any) -> None:
    job = ask_for(lambda: chain.delay([sample.noop(), sample.noop()]))
    tasks.run_pending_jobs()
    parts = cast.owner.result("files_job_show", id=job.id)["parts"]
    assert (parts["done"], parts["total"]) == (2, 2)
    assert "Part" not in texts(get(cast.owner, "/dashboard/jobs").body)


def test_a_chain_that_a_task_returns(
    cast: Cast, ask_for: Any, tasks: TasksManager, make_task: Any, unique: Any
) -> None:
    """Its parts are known from then on; the text of one goes when it ends."""
    name = unique("job")

    @make_task(name="publish_and_praise")
    def prepare(name: str) -> Any:
        return chain([sample.tell(name, 50, "publishing rain"), sample.write(name)])

    job = ask_for(lambda: prepare.delay(name))

    def shown() -> tuple[Any, str, str]:
        found = cast.owner.result("files_job_show", id=job.id)
        assert found["title"] == "publish_and_praise"
        page = texts(get(cast.owner, f"/job/{job.id}").body)
        return found, page, output("show", str(job.id))

    tasks.run_pending_jobs(most=0)
    assert shown()[0]["parts"] is None
    tell, write = sample.tell.name, sample.write.name
    for done, states in enumerate(([" running", ""], [" succeeded", " running"])):
        tasks.run_pending_jobs(most=1)
        found, page, said = shown()
        assert found["parts"] == {"tasks": [tell, write], "total": 2, "done": done}
        assert f"Parts {tell}{states[0]} {write}{states[1]} Events" in page
        assert f'Arguments name "{name}"' in page
        assert f'\nArguments\n  name = "{name}"\n' in said
        assert f"Part {done + 1} of 2: " in said
        assert not found["text"]
    tasks.run_pending_jobs()
    found, page, _ = shown()
    assert (found["status"], found["percent"], found["text"]) == ("succeeded", 100, "")
    assert found["parts"]["done"] == 2
    assert "publishing rain" not in page


def test_odd_chains(cast: Cast) -> None:
    """Long ones are cut, and one without parts is shown as its task."""
    defer(chain, [sample.anything({"a": n}, _=n) for n in range(150)])
    defer(chain, [])
    none, long = cast.sysadmin.result("files_job_list")["results"]
    assert (none["title"], none["parts"]["total"]) == ("ckanext.files.chain", 0)
    assert long["title"] == " → ".join(["anything"] * 5 + ["…"])
    assert (len(long["parts"]["tasks"]), long["parts"]["total"]) == (100, 150)
    assert long["args_summary"].endswith("...")
    assert len(long["args_summary"]) < 1000
    assert "and 50 more" in texts(get(cast.sysadmin, f"/job/{long['id']}").body)
    assert get(cast.sysadmin, f"/job/{none['id']}").status_code == 200
    output("show", str(none["id"]))
    assert "  and 50 more\n" in output("show", str(long["id"]))


def test_another_job_has_no_parts(cast: Cast) -> None:
    job = defer(sample.anything, calls=[sample.noop()])
    shown = cast.sysadmin.result("files_job_show", id=job.id)
    assert (shown["title"], shown["parts"]) == (sample.anything.name, None)


CALL = {"__call__": "a.b", "args": {}}
MALFORMED: list[Any] = [
    *("x", 5, None, {}, CALL, [1, "a", None], [[CALL]], [{}]),
    *([CALL, {**CALL, "__call__": name}] for name in (5, None, {"a": 1}, ["a"])),
    *([CALL, {**CALL, "args": args}] for args in (None, [1], "x")),
    [CALL, {"args": {}}],
    [{"__call__": "a.b"}],
]


@pytest.mark.parametrize("calls", MALFORMED, ids=json.dumps)
def test_a_row_that_is_no_chain(calls: Any, cast: Cast, ask_for: Any, tasks: TasksManager) -> None:
    """It is shown as its task, and breaks no list that has it among others."""
    job = ask_for(lambda: chain.delay([sample.noop()]))
    change(
        f"UPDATE {SCHEMA}.procrastinate_jobs SET args = CAST(:args AS jsonb) WHERE id = :id",
        args=json.dumps({"calls": calls}),
        id=job.id,
    )
    model.Session.remove()
    [listed] = cast.owner.result("files_job_list")["results"]
    assert (listed["title"], listed["parts"]) == ("ckanext.files.chain", None)
    assert listed["args_summary"].startswith("calls=")
    for path in ("/dashboard/jobs", f"/job/{job.id}", f"/job/rows?id={job.id}"):
        assert get(cast.owner, path).status_code == 200
    assert "ckanext.files.chain" in output("list")
    assert "calls = " in output("show", str(job.id))
