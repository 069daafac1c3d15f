"""Fixtures of all tests."""

from __future__ import annotations

import gc
import itertools
import logging
import sys
import uuid
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pysolr
import pytest
import yaml
from ckan import model, plugins
from ckan.cli.db import _run_migrations
from ckan.lib import search
from ckan.tests import factories, helpers
from passlib.handlers.pbkdf2 import pbkdf2_sha512

from ckanext.files.capabilities import CORE_FILES
from ckanext.files.errors import OutOfQueueError
from ckanext.files.queue import current_queue
from ckanext.files.tests.support.effects import Effects, Rows
from ckanext.files.tests.support.probe_plugin import ProbePlugin
from ckanext.files.tests.support.quick import Quick
from ckanext.files.tests.support.server import CkanServers
from ckanext.files.tests.support.solr import forget_intents
from ckanext.files.tests.support.users import new_user
from ckanext.files.tests.support.workers import Workers
from ckanext.files.transaction import commit_requests, current_block, search_index
from ckanext.files.transaction.session import HeldSession
from dev.process import HOST, Process, answers, free_port

# CKAN's factories know what names of users their own process has drawn, and none of another process
_USER: Any = factories.User._meta.base_declarations
_USER["name"].function = lambda: f"user-{uuid.uuid4().hex[:16]}"
_USER["email"].function = lambda: f"{uuid.uuid4().hex}@ckan.example.com"

# to hash a password takes longer than the rest of a new user, and no test needs it to take long
pbkdf2_sha512.default_rounds = 1

# CKAN reads the declarations of its options anew whenever plugins are loaded: libyaml reads them
# faster. Commands and servers in processes of their own read them as on a portal.
yaml.SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full-size",
        action="store_true",
        help="run all that a release needs: races, kills and random sequences at their sizes,"
        " and on CKAN 2.11 also the tests marked once",
    )
    parser.addoption(
        "--record-answers",
        action="store_true",
        help="write the answers of CKAN 2.12's core, which tests/comparison compares",
    )
    parser.addoption(
        "--record-pictures",
        action="store_true",
        help="write the pictures in the documentation, which the tests in a browser take",
    )
    parser.addoption(
        "--quick",
        action="store_true",
        help="run one case of each test that starts no process",
    )
    parser.addoption(
        "--part",
        default="1/1",
        help="run, for example, 1/2 of the modules; the parts can run at the same time",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--quick"):
        config.pluginmanager.register(Quick())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Choose a part. On CKAN 2.11 run it backwards, and skip what is marked ``once``.

    So no test needs what an earlier one has left.
    """
    number, parts = map(int, str(config.getoption("--part")).split("/"))
    if not 1 <= number <= parts:
        raise pytest.UsageError(f"--part={number}/{parts}: there is no such part")
    modules = list(dict.fromkeys(item.path for item in items))
    chosen = set(modules[number - 1 :: parts])
    config.hook.pytest_deselected(items=[item for item in items if item.path not in chosen])
    items[:] = [item for item in items if item.path in chosen]
    if CORE_FILES:
        return
    items.reverse()
    if not config.getoption("--full-size"):
        for item in items:
            for marker in item.iter_markers("once"):
                item.add_marker(pytest.mark.skip(f"on CKAN 2.12 only: {marker.kwargs['reason']}"))


def pytest_collection_finish() -> None:
    """What is loaded by now stays: let the garbage collector, also of forks, not look at it."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)  # seldom: that saves a tenth of a run


@pytest.fixture(scope="session")
def full_size(request: pytest.FixtureRequest) -> bool:
    """Whether to run at full size."""
    return bool(request.config.getoption("--full-size"))


@pytest.fixture(scope="session", autouse=True)
def empty_database() -> None:
    """Once at the start: a database that a developer gives may have rows of an earlier run."""
    helpers.reset_db()
    with plugins.use_plugin("files"):
        _run_migrations("files")
    search.clear_all()


@pytest.fixture(scope="session", autouse=True)
def solr_shows_what_it_has_committed() -> Iterator[None]:
    """Let each commit to Solr end when Solr shows it: CKAN goes on before, and tests look then."""
    commit = pysolr.Solr.commit
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pysolr.Solr, "commit", lambda self, waitSearcher=None: commit(self))  # noqa: N803
        yield


@pytest.fixture(scope="session")
def ini(pytestconfig: pytest.Config) -> Path:
    """The configuration file of the tests."""
    return Path(str(pytestconfig.getoption("--ckan-ini"))).resolve()


@pytest.fixture
def servers(ini: Path, tmp_path: Path) -> Iterator[CkanServers]:
    """CKAN servers that end with the test."""
    servers = CkanServers(tmp_path, ini)
    yield servers
    servers.stop()


@pytest.fixture(scope="module")
def lasting_servers(ini: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CkanServers]:
    """CKAN servers that serve all tests of a module."""
    servers = CkanServers(tmp_path_factory.mktemp("servers"), ini)
    yield servers
    servers.stop()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an S3 server."""
    port = str(free_port())
    command = [sys.executable, "-m", "moto.server", "--host", HOST, "--port", port]
    process, url = Process(command, tmp_path_factory.mktemp("s3") / "log"), f"http://{HOST}:{port}"
    process.start()
    try:
        process.wait_until(lambda: answers(f"{url}/moto-api/"))
        yield url
    finally:
        process.stop()


@pytest.fixture
def author() -> str:
    """The name of a new user, who uploads files and makes datasets."""
    return new_user()


@pytest.fixture
def hooks() -> Iterator[dict[str, Callable[..., Any]]]:
    """The hooks of the plugin ``files_test_probe``, empty again after the test."""
    ProbePlugin.hooks.clear()
    yield ProbePlugin.hooks
    ProbePlugin.hooks.clear()


@pytest.fixture(scope="module")
def effects(loaded: None) -> Effects:
    """A table of the tests' own, beside CKAN's."""
    effects = Effects()
    effects.create_table()
    return effects


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Make names that no other test uses."""
    numbers = itertools.count()
    token = uuid.uuid4().hex[:10]
    return lambda prefix: f"{prefix}-{token}-{next(numbers)}"


@pytest.fixture
def rows(effects: Effects, unique: Callable[[str], str]) -> Rows:
    """The rows of this test in the table of ``effects``."""
    return Rows(unique("row"))


@pytest.fixture
def lost(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """The lines of the log about jobs and callbacks that no commit has reached."""
    name = commit_requests.__name__
    with caplog.at_level(logging.ERROR, name):
        yield lambda: [record.getMessage() for record in caplog.records if record.name == name]


@pytest.fixture(autouse=True)
def loggers_are_on() -> None:
    """Migrations that ran in this process have switched off all loggers that alembic.ini lacks."""
    for logger in logging.root.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.disabled = False


@pytest.fixture(autouse=True)
def leaves_nothing() -> Iterator[None]:
    """After every test the thread's session is an ordinary one, outside of any frame."""
    yield
    assert not isinstance(model.Session(), HeldSession)
    assert current_block() is None
    with pytest.raises(OutOfQueueError):
        current_queue()
    assert search_index._DEFERRING not in model.Session().info
    assert not model.Session().get_nested_transaction()
    model.Session.remove()
    forget_intents()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the logs of servers and workers with a test that fails."""
    report = yield
    values: dict[str, Any] = getattr(item, "funcargs", {})
    if report.failed:
        for processes in values.values():
            if isinstance(processes, (CkanServers, Workers)):
                report.sections += processes.logs().items()
    return report
