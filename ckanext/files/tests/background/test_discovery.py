"""The plugin finds the tasks of extensions, by entry points, by plugins and by an option."""

from __future__ import annotations

import importlib
import json
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ckan import plugins
from ckan.common import config
from ckan.exceptions import CkanConfigurationException

from ckanext.files.background import TaskDefinitionError, call, discovery, send_task
from ckanext.files.background.call import all_tasks, find_task, is_known
from ckanext.files.background.discovery import OPTION, load_tasks
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.support.console import run_background as run
from ckanext.files.tests.support.load_plugins import load_plugins, plugins_loaded

loaded = load_plugins("files", "files_background")

OURS = "ckanext.files.background_tasks"
OLD = "ckan.celery_task"
NAMES = "acme.names:names"

TASKS = """
    from ckanext.files.background import task

    ran = []

    @task(name="acme.echo")
    def echo(message):
        ran.append(message)
"""

MORE = TASKS.replace("acme.echo", "acme.more")

PLUGIN = """
    import ckan.plugins as p
    from ckanext.files.background import IBackgroundTasks

    class Plugin(p.SingletonPlugin):
"""


class Extension:
    """The package ``acme``, with the metadata that an installation makes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.write("__init__", "")
        self.write("tasks", TASKS)
        self.write("more", MORE)
        self.write("names", 'def names(): return ["acme.tasks"]')

    def write(self, module: str, source: str) -> None:
        """Write a module; the next import is of that source."""
        path = self._folder / "acme" / f"{module}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(source))
        sys.modules.pop(f"acme.{module}", None)
        importlib.invalidate_caches()

    def enter(self, group: str, value: str = NAMES, name: str = "tasks") -> None:
        """Add an entry point."""
        metadata = self._folder / "acme.dist-info"
        metadata.mkdir(exist_ok=True)
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-tasks\nVersion: 0\n")
        with (metadata / "entry_points.txt").open("a") as file:
            file.write(f"[{group}]\n{name} = {value}\n")
        importlib.invalidate_caches()

    def add_plugin(self, body: str) -> None:
        """Add the plugin ``acme``."""
        self.write("plugin", PLUGIN + textwrap.indent(textwrap.dedent(body), " " * 8))
        self.enter("ckan.plugins", "acme.plugin:Plugin", "acme")


@pytest.fixture
def extension(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Extension]:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(call, "_tasks", dict(call._tasks))
    yield Extension(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme"]:
        del sys.modules[name]


@contextmanager
def reloaded(*names: str, **options: Any) -> Iterator[None]:
    """Load these plugins instead of the module's, until the end of the block."""
    try:
        with plugins_loaded("files", *names, **options):
            yield
    finally:
        plugins.load_all()


def refused(*culprits: str) -> None:
    """Loading fails with an error that names all of these."""
    with pytest.raises(TaskDefinitionError) as raised:
        load_tasks()
    for culprit in culprits:
        assert culprit in str(raised.value)


@pytest.fixture
def left_out(caplog: pytest.LogCaptureFixture) -> Any:
    """Loading goes on, and the log and the list of what is left out name all of these."""

    def left_out(*culprits: str) -> None:
        caplog.clear()
        load_tasks()
        [reason] = discovery.not_loaded
        [record] = [each for each in caplog.records if "left out" in each.getMessage()]
        for culprit in culprits:
            assert culprit in reason
            assert culprit in record.getMessage()

    return left_out


# entry points


@pytest.mark.parametrize("group", [OURS, OLD])
def test_entry_points(group: str, extension: Extension, tasks: TasksManager) -> None:
    extension.enter(group)
    assert not is_known("acme.echo")
    load_tasks()
    assert find_task("acme.echo").path == "acme.tasks.echo"
    send_task("acme.echo", args=["Hello World"])
    tasks.run_pending_jobs()
    assert sys.modules["acme.tasks"].ran == ["Hello World"]


def test_plugin_finds_them_when_it_is_loaded(extension: Extension) -> None:
    extension.enter(OLD)
    with reloaded("files_background", **{OPTION: "acme.more"}):
        assert is_known("acme.echo")
        assert is_known("acme.more")
        assert config[OPTION] == ["acme.more"]  # it is declared


def test_anything_that_can_be_iterated_over(
    extension: Extension, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One module may be named by several, and again."""
    extension.write("names", 'def names(): yield "acme.tasks"; yield "acme.more"')
    extension.write("other", 'def names(): return {"acme.tasks": 1}')
    extension.enter(OURS, name="one")
    extension.enter(OLD, "acme.other:names", "other")
    monkeypatch.setitem(config, OPTION, "acme.tasks")
    load_tasks()
    load_tasks()
    assert [task.name for task in all_tasks()].count("acme.echo") == 1
    assert is_known("acme.more")


MISTAKES = {
    'return {"acme.nowhere"}': ["No module named 'acme.nowhere'"],
    'return ["acme.broken"]': ["acme.broken", "division by zero"],
    'return ["acme.invalid"]': ["acme.invalid", "SyntaxError"],
    'return ["acme.inner"]': ["module acme.inner", "acme.inner.make.<locals>.inner"],
    'return ["acme.double"]': ["acme.double", "Two tasks are called acme.echo"],
    'return ["."]': ["'.'"],
    'return "acme.tasks"': ["'acme.tasks'"],
    "return None": ["not None"],
    "return [None]": ["[None]"],
    "return 5": ["not 5"],
    "return 1 / 0": ["division by zero"],
    "yield 1 / 0": ["division by zero"],
}

INNER = """
    from ckanext.files.background import task

    def make():
        @task
        def inner(): ...

    make()
"""


@pytest.mark.parametrize("group", [OURS, OLD])
@pytest.mark.parametrize("used", [True, False], ids=["of this portal", "of another one"])
def test_error_names_the_culprit(
    group: str, used: bool, extension: Extension, left_out: Any
) -> None:
    """The package, the entry point, its group, and the module if there is one.

    Other portals of the environment may need it, and this one goes on. An extension that
    this portal uses has to be whole, unless it is as old as Celery.
    """
    extension.write("broken", "1 / 0")
    extension.write("invalid", "def")
    extension.write("inner", INNER)
    extension.write("double", "from . import tasks\n" + textwrap.dedent(TASKS))
    extension.enter(group)
    extension.add_plugin("pass")
    expect = refused if used and group == OURS else left_out
    with reloaded(*["acme"] if used else []):
        for source, culprits in MISTAKES.items():
            extension.write("names", f"def names(): {source}")
            expect(*culprits, group, f"tasks = {NAMES}", "acme-tasks")


@pytest.mark.parametrize("value", ["acme.nowhere:names", "acme.names:nothing", "acme.names"])
def test_entry_point_that_names_no_function(
    value: str, extension: Extension, left_out: Any
) -> None:
    extension.enter(OLD, value)
    left_out(OLD, f"tasks = {value}")


@pytest.mark.parametrize("where", ["ancient", "names"])
def test_ancient_extension(where: str, extension: Extension, left_out: Any) -> None:
    """It is in the environment, and stops no command of any portal; what is sound is loaded."""
    extension.write("sound", 'def names(): return ["acme.tasks"]')
    extension.enter(OLD, name="ancient")
    extension.enter(OLD, "acme.sound:names", "sound")
    for source in (
        'print "hello"',  # Python 2
        "from ckan.lib.celery_app import celery",
        "import sys; sys.exit(0)",
    ):
        extension.write("names", 'def names(): return ["acme.ancient"]')
        extension.write(where, source)
        left_out(f"ancient = {NAMES}", OLD)
        assert is_known("acme.echo")
    with reloaded("files_background"):
        code, said = run("status")
        assert code == 0
        assert f"\nTasks left out\n  {discovery.not_loaded[0]}\n" in said
        assert json.loads(run("status", "--json")[1])["not_loaded"] == discovery.not_loaded


def test_one_module_of_several_is_broken(extension: Extension, left_out: Any) -> None:
    extension.write("names", 'def names(): return ["acme.nowhere", "acme.tasks"]')
    extension.enter(OLD)
    left_out("acme.nowhere")
    assert is_known("acme.echo")
    extension.write("nowhere", "")
    load_tasks()
    assert discovery.not_loaded == []


# modules


def test_a_module_that_is_reloaded(extension: Extension) -> None:
    """It is the same task, with its new source."""
    extension.write("tasks", TASKS.replace("name=", 'aliases=["acme.old"], name='))
    first = importlib.import_module("acme.tasks").echo
    second = importlib.reload(sys.modules["acme.tasks"]).echo
    assert second is not first
    assert find_task("acme.echo") is find_task("acme.old") is second
    assert [task.name for task in all_tasks()].count("acme.echo") == 1


def test_two_functions_of_one_path(extension: Extension) -> None:
    """It is a second function, not a reload of the first one, which would never run."""
    extension.write("twice", TASKS + TASKS)
    with pytest.raises(TaskDefinitionError, match=r"Two tasks are called acme\.echo"):
        importlib.import_module("acme.twice")


# plugins


NAMING = """
    p.implements(IBackgroundTasks)

    def get_background_task_modules(self):
        yield "acme.{}"
"""


@pytest.mark.parametrize(
    ("body", "order", "known"),
    [
        (NAMING.format("tasks"), ["files_background", "acme"], True),
        (NAMING.format("tasks"), ["acme", "files_background"], True),
        ("p.implements(IBackgroundTasks, inherit=True)", ["files_background", "acme"], False),
    ],
    ids=["plugin", "plugin before files_background", "interface without the method"],
)
def test_plugins_with_the_interface(
    body: str, order: list[str], known: bool, extension: Extension
) -> None:
    extension.add_plugin(body)
    with reloaded(*order):
        assert is_known("acme.echo") == known


def test_broken_module_of_a_plugin(extension: Extension) -> None:
    extension.add_plugin(NAMING.format("nowhere"))
    with (
        pytest.raises(TaskDefinitionError, match=r"acme\.nowhere, named by the plugin acme"),
        reloaded("files_background", "acme"),
    ):
        pass


# the option


@pytest.mark.parametrize("value", ["acme.tasks", ["acme.tasks"], "acme.more\n acme.tasks"])
def test_option(value: Any, extension: Extension, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(config, OPTION, value)
    load_tasks()
    assert is_known("acme.echo")
    assert is_known("acme.more") == ("acme.more" in value)


def test_broken_module_of_the_option(extension: Extension, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks that it has defined before its error do not prevent a reload."""
    monkeypatch.setitem(config, OPTION, "acme.nowhere")
    refused("acme.nowhere", OPTION)
    monkeypatch.setitem(config, OPTION, "acme.tasks")
    extension.write("tasks", TASKS + "\n    1 / 0")
    refused("acme.tasks", "division by zero")
    extension.write("tasks", TASKS)
    load_tasks()
    assert find_task("acme.echo") is sys.modules["acme.tasks"].echo


# decorators beside @task


DECORATORS = """
    import functools
    from ckanext.files.background import task

    def plain(function):
        def wrapper(*args):
            return function(*args)
        return wrapper

    def wrapping(function):
        return functools.wraps(function)(plain(function))

"""


NO_TASK = [
    "acme.decorated.work is no task any more: a decorator above @task has made",
    "Put @task above all other decorators",
    f"named by the option {OPTION}",
]


@pytest.mark.parametrize(
    ("lines", "errors"),
    [
        *[
            ([f"@{decorator}", "@task", "def work(): ..."], NO_TASK)
            for decorator in ("plain", "wrapping", "functools.partial")
        ],
        (
            ["@task", "@plain", "def work(): ..."],
            ["plain.<locals>.wrapper is defined within a function", "let that use functools.wraps"],
        ),
        (["@task", "@wrapping", "def work(): ..."], []),
        (["def work(): ...", "other = task(wrapping(work))"], []),
        (["@task", "def work(): ...", "del work"], []),
        (["@task(name='a')", "def work(): ...", "first = work", "work = 5"], []),
    ],
)
def test_decorators(
    lines: list[str], errors: list[str], extension: Extension, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers of a task below one would get a function without ``delay``: it is refused."""
    extension.write("decorated", textwrap.dedent(DECORATORS) + "\n".join(lines))
    monkeypatch.setitem(config, OPTION, "acme.decorated")
    if errors:
        refused(*errors)
    else:
        load_tasks()


# the plugin itself


@pytest.mark.parametrize("names", [["files_background"], ["files_background", "files"]])
def test_needs_the_plugin_files_before_it(names: list[str]) -> None:
    with (
        pytest.raises(CkanConfigurationException, match="needs the plugin files before it"),
        plugins_loaded(*names),
    ):
        pass
    assert not plugins.plugin_loaded("files_background")
    plugins.load_all()
