"""A process that has one variant loaded: ``python -m benchmarks.request.worker VARIANT USER``."""

from __future__ import annotations

import copy
import functools
import gc
import logging
import sys
import time
from importlib import import_module
from typing import Any

import ckan.plugins.toolkit as tk
import pysolr
from ckan import model
from ckan.types import Context

from .. import site
from .contests import VARIANTS, Variant
from .plugin import BenchmarkPlugin


class Worker:
    """Updates datasets as a client does that sends back what it was shown, with changes."""

    def __init__(self, variant: Variant, user: str) -> None:
        self._user = user
        self._calls_transfer = variant.calls_transfer
        self._stopwatch = Stopwatch()
        self._shown: dict[str, dict[str, Any]] = {}

    def update(self, dataset: str, field: str, title: str, files: list[str]) -> dict[str, float]:
        """Update a dataset, and return what the stopwatch says.

        The title is a new one each time: CKAN 2.12 returns early when nothing changes.
        """
        data = self._prepare(dataset, title, field, files)
        context = self._context()
        gc.collect()
        self._stopwatch.start()
        result = tk.get_action("package_update")(context, data)
        if self._calls_transfer:
            self._transfer(result, field, files)
        measured = self._stopwatch.stop()
        assert result["title"] == title
        self._shown[dataset] = result
        return measured

    def warm(self) -> None:
        """Let the garbage collector leave alone what will stay."""
        gc.collect()
        gc.freeze()

    def parts(self) -> dict[str, float]:
        from . import parts  # needs the extension, which stock CKAN runs without

        return parts.measure(self._user)

    def _prepare(self, dataset: str, title: str, field: str, files: list[str]) -> dict[str, Any]:
        if dataset not in self._shown:
            self._shown[dataset] = tk.get_action("package_show")(self._context(), {"id": dataset})
        data = copy.deepcopy(self._shown[dataset])
        data["title"] = title
        if field == "resources":
            for resource, file in zip(data["resources"], files, strict=True):
                resource["attachment"] = file
        else:
            data[field] = files if field == "attachments" else files[0]
        return data

    def _transfer(self, result: dict[str, Any], field: str, files: list[str]) -> None:
        transfer = tk.get_action("file_ownership_transfer")
        for number, file in enumerate(files):
            owner_type, owner = "package", result
            if field == "resources":
                owner_type, owner = "resource", result["resources"][number]
            data = {"id": file, "owner_type": owner_type, "owner_id": owner["id"], "pin": True}
            transfer(self._context(), data)

    def _context(self) -> Context:
        return {"user": self._user, "auth_user_obj": model.User.get(self._user)}


class Stopwatch:
    """Notes the end of each real COMMIT and of each change of the search index."""

    def __init__(self) -> None:
        self._commits: list[float] = []
        self._answers: list[float] = []
        # past all events: here the driver is told to commit
        dialect: Any = model.Session.get_bind().dialect
        dialect.do_commit = _noting(dialect.do_commit, self._commits)
        solr: Any = pysolr.Solr
        solr.add = _noting(solr.add, self._answers)

    def start(self) -> None:
        self._commits.clear()
        self._answers.clear()
        self._cpu_began = time.process_time()
        self._began = time.perf_counter()

    def stop(self) -> dict[str, float]:
        """Return what happened since the start; times are in seconds.

        ``cpu`` is the time that this process computed, ``ahead`` the time in which the index has
        what is not yet committed, ``between`` the time from the first COMMIT to the last.
        """
        seconds = time.perf_counter() - self._began
        cpu = time.process_time() - self._cpu_began
        ahead = [
            next(commit for commit in self._commits if commit > answer) - answer
            for answer in self._answers
        ]
        return {
            "seconds": seconds,
            "cpu": cpu,
            "commits": len(self._commits),
            "ahead": max(ahead),
            "between": self._commits[-1] - self._commits[0],
        }


def _noting(function: Any, times: list[float]) -> Any:
    @functools.wraps(function)
    def noting(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        times.append(time.perf_counter())
        return result

    return noting


def _load(name: str, user: str) -> Any:
    """Return what is served: fixtures, or a variant."""
    if name == "fixtures":
        from .fixtures import Fixtures

        return Fixtures(user)
    variant = VARIANTS[name]
    BenchmarkPlugin.validator = variant.validator
    if variant.plugin and not variant.intents:
        index_intents: Any = import_module("ckanext.files.transaction.index_intents")
        index_intents.write = lambda *_: index_intents.Written()
    site.load()
    return Worker(variant, user)


if __name__ == "__main__":
    # CKAN 2.11 logs errors when a dataset is purged; failures that matter are exceptions
    logging.disable(logging.ERROR)
    site.serve(functools.partial(_load, *sys.argv[1:]))
