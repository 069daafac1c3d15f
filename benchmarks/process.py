"""Processes that have CKAN loaded, in which functions are called."""

from __future__ import annotations

import ctypes
import functools
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from configparser import RawConfigParser
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from ckan import model
from ckan.cli import load_config
from ckan.config.middleware import make_app

ROOT = Path(__file__).resolve().parent.parent
P = ParamSpec("P")
T = TypeVar("T")


class CkanProcess:
    """It calls functions of modules, each in a request of CKAN."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Let it call a function, and return the answer."""
        work: Any = functools.partial(in_request, function, *args, **kwargs)
        return self._pool.submit(work).result()


@contextmanager
def ckan_process(options: Mapping[str, str], **variables: str) -> Iterator[CkanProcess]:
    """Start CKAN with other options than the tests have, and a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        variables["CKAN_INI"] = _write_ini(Path(folder, "ckan.ini"), options)
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, spawn, _begin, (variables,)) as pool:
            # it loads CKAN while others start
            pool.submit(int)
            try:
                yield CkanProcess(pool)
            except BaseException:
                for process in multiprocessing.active_children():
                    process.terminate()
                raise


def _write_ini(path: Path, options: Mapping[str, str]) -> str:
    parser: Any = RawConfigParser()
    parser.optionxform = str  # the names of options stay as they are
    parser.read(ROOT / "test.ini")
    # no line for each job or request
    quiet = {f"logger_{name}": {"level": "ERROR"} for name in ("root", "ckan", "ckanext")}
    parser.read_dict({"app:main": options, **quiet})
    with path.open("w") as output:
        parser.write(output)
    return str(path)


def _begin(variables: Mapping[str, str]) -> None:
    # PR_SET_PDEATHSIG: it ends with its parent, even if that is killed
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    end_in_order()
    # standard output is for the results
    os.dup2(2, 1)
    os.environ.update(variables)
    # CKAN finds plugins by entry points, and the benchmarks' plugin is not installed
    sys.path.append(str(ROOT / "benchmarks/entry_points"))
    load()


def end_in_order() -> None:
    """Let SIGTERM end this process as an exception does: what it has started ends first."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def in_request(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function with what a request has, and a session of its own."""
    with load().test_request_context():
        try:
            return function(*args, **kwargs)
        finally:
            model.Session.remove()


def load() -> Any:
    """Return CKAN's Flask application; CKAN wraps it without its contexts."""
    return whole_app()._wsgi_app  # noqa: SLF001


@functools.cache
def whole_app() -> Any:
    """Return what a server serves."""
    return make_app(load_config())
