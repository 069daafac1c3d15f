"""What a process does that has one variant loaded, and the plugin that makes its datasets."""

from __future__ import annotations

import copy
import functools
import gc
import itertools
import json
import statistics
import time
import timeit
import uuid
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk
import pysolr
import sqlalchemy as sa
from ckan import model
from ckan.tests.helpers import call_action
from ckan.types import Context, Schema

from .contests import Contest, Variant

_USER = _DATASET_TYPE = "benchmark"

# of CKAN 2.12, and of the extension on CKAN 2.11
_FILE, _OWNER = ("file", "file_owner") if hasattr(model, "File") else ("files_file", "files_owner")

# the dataset of each contest, as a client was shown it last, and the files for the rounds to come
_shown: dict[Contest, dict[str, Any]] = {}
_files: dict[Contest, list[str]] = {}


def begin(variant: Variant) -> None:
    """Make the user, and an organization of which the user is an editor, if they are missing."""
    if not variant.intents:
        # no other process sees what is about to be written into Solr
        index_intents: Any = import_module("ckanext.files.transaction.index_intents")
        index_intents.write = lambda *_: index_intents.Written()
    if not model.User.get(_USER):
        email, password = f"{_USER}@benchmark.invalid", uuid.uuid4().hex
        call_action("user_create", name=_USER, email=email, password=password)
        creator = {"user": call_action("get_site_user")["name"]}
        members = [{"name": _USER, "capacity": "editor"}]
        call_action("organization_create", creator, name=_USER, users=members)


def prepare(contest: Contest, rounds: int) -> None:
    """Make a dataset, and files that belong to the user."""
    urls = [f"https://benchmark.invalid/{n}" for n in range(contest.size * contest.in_resources)]
    resources = [{"name": f"Resource {number}", "url": url} for number, url in enumerate(urls)]
    data: Any = {"type": _DATASET_TYPE, "owner_org": _USER, "resources": resources}
    made = call_action("package_create", name=f"benchmark-{uuid.uuid4().hex}", **data)
    _shown[contest] = tk.get_action("package_show")(_context(), {"id": made["id"]})
    user: Any = model.User.get(_USER)
    parameters = {"count": contest.size * rounds, "user_id": user.id}
    sql = Path(__file__).with_name("files.sql").read_text().format(file=_FILE, owner=_OWNER)
    _files[contest] = list(model.Session.execute(sa.text(sql), parameters).scalars())
    # the planner must not find out about them in the middle of the rounds
    model.Session.execute(sa.text(f"ANALYZE {_FILE}, {_OWNER}"))
    model.Session.commit()
    # the garbage collector leaves alone what will stay
    gc.collect()
    gc.freeze()


def _context() -> Context:
    return {"user": _USER, "auth_user_obj": model.User.get(_USER)}


def update(contest: Contest, variant: Variant) -> dict[str, float]:
    """Update a dataset as a client does that sends back what it was shown, with changes.

    Returns what was measured; times are in seconds. ``cpu`` is the time that this process
    computed, ``ahead`` the time in which the index has what is not yet committed, ``between`` the
    time from the first COMMIT to the last.
    """
    files = [_files[contest].pop() for _ in range(contest.size)]
    # a new title each time: CKAN 2.12 returns early when nothing changes
    data = {**copy.deepcopy(_shown[contest]), "title": f"With {files[0]}"}
    if contest.in_resources:
        for resource, file in zip(data["resources"], files, strict=True):
            resource["files"] = file
    else:
        data["files"] = files if contest.size > 1 else files[0]
    (commits, answers), context = _noted(), _context()
    commits.clear()
    answers.clear()
    gc.collect()
    cpu_began, began = time.process_time(), time.perf_counter()
    result = tk.get_action("package_update")(context, data)
    if variant.calls_transfer:
        _transfer(files, result["resources"] if contest.in_resources else [result])
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    assert result["title"] == data["title"]
    _shown[contest] = result
    return {
        "seconds": seconds,
        "cpu": cpu,
        "commits": len(commits),
        "ahead": max(min(c for c in commits if c > answer) - answer for answer in answers),
        "between": commits[-1] - commits[0],
    }


def _transfer(files: list[str], owners: list[dict[str, Any]]) -> None:
    for file, owner in zip(files, owners, strict=True):
        owner_type = "resource" if "package_id" in owner else "package"
        data = {"id": file, "owner_type": owner_type, "owner_id": owner["id"], "pin": True}
        tk.get_action("file_ownership_transfer")(_context(), data)


@functools.cache
def _noted() -> tuple[list[float], list[float]]:
    """Return the ends of all real COMMITs, and of all changes of the search index, from now on."""
    # past all events: here the driver is told to commit
    return _note(model.Session.get_bind().dialect, "do_commit"), _note(pysolr.Solr, "add")


def _note(owner: Any, name: str) -> list[float]:
    function: Any = getattr(owner, name)
    ends: list[float] = []

    def noting(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        finally:
            ends.append(time.perf_counter())

    setattr(owner, name, noting)
    return ends


def measure_parts() -> dict[str, float]:
    """Return the seconds that each part takes, in the order of the table."""
    # stock CKAN runs without the extension in the process
    from ckanext.files.shared import with_task_queue
    from ckanext.files.transaction.index_intents import write as write_intents

    def nothing(context: Any, data_dict: Any) -> None:
        pass

    def commits(context: Any, data_dict: Any) -> float:
        return _time_of_change(lambda changed: model.Session.commit())

    queue, held = with_task_queue(nothing), with_task_queue(eager=True)(commits)
    intent = _time_of_change(lambda changed: write_intents(model.Session(), [changed.id]))
    return {
        "the queue of an action that queues nothing": _time_of_call(queue) - _time_of_call(nothing),
        "an intent, before a document is written into Solr": intent,
        "a commit of one changed row that is held back": held({}, {}),
        "a real commit of one changed row": commits({}, {}),
    }


def _time_of_call(action: Any, calls: int = 20_000) -> float:
    data: Any = {"user": "a user"}, {"id": "something"}
    return min(timeit.repeat(lambda: action(*data), number=calls, repeat=7)) / calls


def _time_of_change(measured: Callable[[Any], Any]) -> float:
    """Return how long something takes when a row of a user has changed."""
    user: Any = model.User.get(_USER)
    numbers = itertools.count()

    def change() -> None:
        model.Session.commit()
        user.about = f"Change {next(numbers)}"
        model.Session.flush()

    return statistics.median(timeit.repeat(lambda: measured(user), change, number=1, repeat=300))


class BenchmarkPlugin(p.SingletonPlugin, tk.DefaultDatasetForm):
    """Nothing but the option ``benchmark.validator`` differs between variants."""

    p.implements(p.IDatasetForm)

    def package_types(self) -> list[str]:
        return [_DATASET_TYPE]

    def is_fallback(self) -> bool:
        return False

    def update_package_schema(self) -> Schema:
        schema: Any = super().update_package_schema()
        optional, to_extras = map(tk.get_validator, ("ignore_missing", "convert_to_extras"))
        of_package, of_resource = _claim("package"), _claim("resource")
        schema["files"] = [optional, of_package, lambda value: json.dumps(value), to_extras]
        schema["resources"]["files"] = [optional, of_resource]
        return schema

    def show_package_schema(self) -> Schema:
        schema: Any = super().show_package_schema()
        optional, from_extras = map(tk.get_validator, ("ignore_missing", "convert_from_extras"))
        schema["files"] = [from_extras, optional, lambda value: json.loads(value)]
        schema["resources"]["files"] = [optional]
        return schema


def _claim(owner_type: str) -> Any:
    """Return what a field that names files does: nothing, queue an empty task, or transfer."""
    if tk.config["benchmark.validator"] == "transfer":
        factory: Any = tk.get_validator("files_transfer_ownership")
        return factory(owner_type)

    def claim(key: Any, data: Any, errors: Any, context: Any) -> None:
        if tk.config["benchmark.validator"] == "task":
            # stock CKAN runs without the extension in the process
            from ckanext.files.shared import add_task

            add_task(lambda result, idx, prev: None)

    return claim
