"""Tasks of extensions are found, by entry points, by plugins and by an option."""

from __future__ import annotations

import importlib
import json
import re
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ckan import plugins
from ckan.common import config

from ckanext.files.background import TaskDefinitionError, call, discovery, send_task
from ckanext.files.background.call import all_tasks, find_task, is_known
from ckanext.files.background.discovery import OPTION, load_tasks
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.support.background_command import run
from ckanext.files.tests.support.load_plugins import load_plugins, plugins_loaded

loaded = load_plugins("files", "files_background")

OURS = "ckanext.files.background_tasks"
OLD = "ckan.celery_task"

TASKS = """
    from ckanext.files.background import task

    ran = []

    @task(name="NAME.echofunction")
    def echo(message):
        ran.append(message)
"""

IMPORTS = """
    def task_imports():
        return ["files_test_extension.tasks"]
"""


PLUGIN = """
    import ckan.plugins as p

    class Plugin(p.SingletonPlugin):
        pass
"""


class Extension:
    """A package on ``sys.path`` with the metadata that an installation makes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.write("__init__", "")
        self.write("tasks", TASKS)
        self.write("celery_import", IMPORTS)

    def write(self, module: str, source: str) -> None:
        path = self._folder / "files_test_extension" / f"{module}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(source))
        importlib.invalidate_caches()

    def enter(self, group: str, value: str, name: str = "tasks") -> None:
        """Add an entry point."""
        metadata = self._folder / "files_test_extension.dist-info"
        metadata.mkdir(exist_ok=True)
        (metadata / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: files-test-extension\nVersion: 0\n"
        )
        with (metadata / "entry_points.txt").open("a") as file:
            file.write(f"[{group}]\n{name} = {value}\n")
        importlib.invalidate_caches()

    @property
    def ran(self) -> list[Any]:
        return sys.modules["files_test_extension.tasks"].ran


@pytest.fixture
def extension(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Extension]:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(call, "_tasks", dict(call._tasks))
    yield Extension(tmp_path)
    for name in [name for name in sys.modules if name.startswith("files_test_extension")]:
        del sys.modules[name]


@contextmanager
def reloaded(*names: str, **options: Any) -> Iterator[None]:
    """Load these plugins instead of the module's, until the end of the block."""
    try:
        with plugins_loaded(*names, **options):
            yield
    finally:
        plugins.load_all()


def refused(*culprits: str) -> None:
    """Loading fails with an error that names all of these."""
    with pytest.raises(TaskDefinitionError) as raised:
        load_tasks()
    for culprit in culprits:
        assert culprit in str(raised.value)


def left_out(caplog: pytest.LogCaptureFixture, *culprits: str) -> None:
    """Loading goes on, and the log and the list of what is left out name all of these."""
    caplog.clear()
    load_tasks()
    [reason] = discovery.not_loaded
    [record] = [each for each in caplog.records if "left out" in each.getMessage()]
    for culprit in culprits:
        assert culprit in reason
        assert culprit in record.getMessage()


@pytest.mark.parametrize("group", [OURS, OLD])
def test_entry_points(group: str, extension: Extension, tasks: TasksManager) -> None:
    extension.enter(group, "files_test_extension.celery_import:task_imports")
    assert not is_known("NAME.echofunction")
    load_tasks()
    assert find_task("NAME.echofunction").path == "files_test_extension.tasks.echo"
    send_task("NAME.echofunction", args=["Hello World"])
    tasks.run_pending_jobs()
    assert extension.ran == ["Hello World"]


@pytest.mark.parametrize(
    "result",
    [
        'return ["files_test_extension.tasks", "files_test_extension.more"]',
        'return ("files_test_extension.tasks", "files_test_extension.more")',
        'return {"files_test_extension.tasks": 1, "files_test_extension.more": 2}',
        'yield "files_test_extension.tasks"; yield "files_test_extension.more"',
    ],
)
def test_anything_that_can_be_iterated_over(result: str, extension: Extension) -> None:
    extension.write("more", TASKS.replace("NAME.echofunction", "NAME.more"))
    extension.write("celery_import", f"def task_imports():\n    {result}\n")
    extension.enter(OLD, "files_test_extension.celery_import:task_imports")
    load_tasks()
    assert is_known("NAME.echofunction")
    assert is_known("NAME.more")


def test_plugin_finds_them_when_it_is_loaded(extension: Extension) -> None:
    extension.enter(OLD, "files_test_extension.celery_import:task_imports")
    with reloaded("files", "files_background"):
        assert is_known("NAME.echofunction")


@pytest.mark.parametrize("order", [1, -1])
def test_plugins_with_the_interface(order: int, extension: Extension) -> None:
    """Also one that is loaded after the plugin ``files_background``."""
    extension.write(
        "plugin",
        """
        import ckan.plugins as p
        from ckanext.files.background import IBackgroundTasks

        class Plugin(p.SingletonPlugin):
            p.implements(IBackgroundTasks)

            def get_background_task_modules(self):
                yield "files_test_extension.tasks"
        """,
    )
    extension.enter("ckan.plugins", "files_test_extension.plugin:Plugin", "files_test_extension")
    with reloaded("files", *["files_background", "files_test_extension"][::order]):
        assert is_known("NAME.echofunction")


def test_interface_without_the_method(extension: Extension) -> None:
    extension.write(
        "plugin",
        """
        import ckan.plugins as p
        from ckanext.files.background import IBackgroundTasks

        class Plugin(p.SingletonPlugin):
            p.implements(IBackgroundTasks, inherit=True)
        """,
    )
    extension.enter("ckan.plugins", "files_test_extension.plugin:Plugin", "files_test_extension")
    with reloaded("files", "files_background", "files_test_extension"):
        assert not is_known("NAME.echofunction")


@pytest.mark.parametrize("value", ["files_test_extension.tasks", ["files_test_extension.tasks"]])
def test_option(value: Any, extension: Extension, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(config, OPTION, value)
    load_tasks()
    assert is_known("NAME.echofunction")


def test_option_with_many(extension: Extension, monkeypatch: pytest.MonkeyPatch) -> None:
    extension.write("more", TASKS.replace("NAME.echofunction", "NAME.more"))
    monkeypatch.setitem(config, OPTION, "files_test_extension.tasks\n files_test_extension.more")
    load_tasks()
    assert is_known("NAME.echofunction")
    assert is_known("NAME.more")


def test_option_is_declared(extension: Extension) -> None:
    with reloaded("files", "files_background", **{OPTION: "files_test_extension.tasks"}):
        assert is_known("NAME.echofunction")
        assert config[OPTION] == ["files_test_extension.tasks"]


def test_twice_is_once(extension: Extension, monkeypatch: pytest.MonkeyPatch) -> None:
    """One module may be named by several, and again."""
    for number, group in enumerate((OURS, OLD)):
        extension.enter(group, "files_test_extension.celery_import:task_imports", f"n{number}")
    monkeypatch.setitem(config, OPTION, "files_test_extension.tasks")
    load_tasks()
    load_tasks()
    assert [task.name for task in all_tasks()].count("NAME.echofunction") == 1


@pytest.mark.parametrize("group", [OURS, OLD])
@pytest.mark.parametrize(
    ("source", "culprit"),
    [
        ('return ["files_test_extension.nowhere"]', "files_test_extension.nowhere"),
        ('return ["files_test_extension.broken"]', "division by zero"),
        ('return ["files_test_extension.invalid"]', "SyntaxError"),
        ('return ["files_test_extension.inner"]', "files_test_extension.inner.make.<locals>.inner"),
        ('return ["files_test_extension.double"]', "NAME.echofunction"),
        ('return [""]', "''"),
        ('return ["."]', "'.'"),
        ('return "files_test_extension.tasks"', "'files_test_extension.tasks'"),
        ("return None", "not None"),
        ("return [None]", "[None]"),
        ("return 5", "not 5"),
        ("return {1}", "not [1]"),
        ('return {"files_test_extension.nowhere"}', "No module named"),
        ("return 1 / 0", "division by zero"),
        ("yield 1 / 0", "division by zero"),
    ],
)
def test_error_names_the_culprit(
    group: str,
    source: str,
    culprit: str,
    extension: Extension,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The package, the entry point, its group, and the module if there is one.

    Other portals of the environment may need it, and this one goes on.
    """
    extension.write("celery_import", f"def task_imports():\n    {source}\n")
    extension.write("broken", "1 / 0")
    extension.write("invalid", "def")
    extension.write(
        "inner",
        """
        from ckanext.files.background import task

        def make():
            @task
            def inner(): ...

        make()
        """,
    )
    extension.write("double", "from . import tasks\n" + textwrap.dedent(TASKS))
    value = "files_test_extension.celery_import:task_imports"
    extension.enter(group, value)
    module = re.search(r'\["(files_test_extension\.\w+)"\]', source)
    told = (culprit, group, f"tasks = {value}", "files-test-extension", module[1] if module else "")
    left_out(caplog, *told)
    # an extension that this portal uses has to be whole, unless it is as old as Celery
    extension.write("plugin", PLUGIN)
    extension.enter("ckan.plugins", "files_test_extension.plugin:Plugin", "files_test_extension")
    with plugins_loaded("files", "files_test_extension"):
        if group == OURS:
            refused(*told)
        else:
            left_out(caplog, *told)
    plugins.load_all()


@pytest.mark.parametrize(
    "value",
    [
        "files_test_extension.nowhere:task_imports",
        "files_test_extension.celery_import:nothing",
        "files_test_extension.celery_import",
    ],
)
def test_entry_point_that_names_no_function(
    value: str, extension: Extension, caplog: pytest.LogCaptureFixture
) -> None:
    extension.enter(OLD, value)
    left_out(caplog, OLD, f"tasks = {value}")


ANCIENT = {
    "of the days of Python 2": 'print "hello"',
    "of Celery": "from ckan.lib.celery_app import celery",
    "a script": "import sys; sys.exit(0)",
}


@pytest.mark.parametrize("source", ANCIENT.values(), ids=ANCIENT.keys())
@pytest.mark.parametrize("where", ["ancient", "celery_import"])
def test_ancient_extension(
    source: str, where: str, extension: Extension, caplog: pytest.LogCaptureFixture
) -> None:
    """It is in the environment, and stops no command of any portal; what is sound is loaded."""
    extension.write("celery_import", 'def task_imports(): return ["files_test_extension.ancient"]')
    extension.write(where, source)
    extension.enter(OLD, "files_test_extension.celery_import:task_imports", "ancient")
    extension.write("names", IMPORTS)
    extension.enter(OLD, "files_test_extension.names:task_imports", "sound")
    left_out(
        caplog, "ancient = files_test_extension.celery_import:task_imports", "ckan.celery_task"
    )
    assert is_known("NAME.echofunction")
    with reloaded("files", "files_background"):
        code, said = run("status")
        assert code == 0
        assert f"\nTasks left out\n  {discovery.not_loaded[0]}\n" in said
        assert json.loads(run("status", "--json")[1])["not_loaded"] == discovery.not_loaded


def test_one_module_of_several_is_broken(
    extension: Extension, caplog: pytest.LogCaptureFixture
) -> None:
    names = '["files_test_extension.nowhere", "files_test_extension.tasks"]'
    extension.write("celery_import", f"def task_imports(): return {names}")
    extension.enter(OLD, "files_test_extension.celery_import:task_imports")
    left_out(caplog, "files_test_extension.nowhere")
    assert is_known("NAME.echofunction")
    extension.write("nowhere", "")
    load_tasks()
    assert discovery.not_loaded == []


DECORATED = """
    import functools
    from ckanext.files.background import task

    def plain(function):
        def wrapper(*args):
            return function(*args)
        return wrapper

    def wrapping(function):
        return functools.wraps(function)(plain(function))

    class Callable:
        def __init__(self, function):
            self.function = function

        def __call__(self):
            return self.function()

"""


@pytest.mark.parametrize("decorator", ["plain", "wrapping", "Callable", "functools.partial"])
def test_decorator_above_the_task(
    decorator: str, extension: Extension, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers would get a function without ``delay``: ``@task`` must be the first decorator."""
    extension.write("above", f"{DECORATED}\n    @{decorator}\n    @task\n    def work(): ...\n")
    monkeypatch.setitem(config, OPTION, "files_test_extension.above")
    refused(
        "files_test_extension.above.work is no task any more: a decorator above @task has made",
        "Put @task above all other decorators",
        f"named by the option {OPTION}",
    )


@pytest.mark.parametrize(
    "source",
    [
        "@task\n    @wrapping\n    def work(): ...",
        "def work(): ...\n\n    other = task(work)",
        "def work(): ...\n\n    other = task(wrapping(work))",
        "@task\n    def work(): ...\n\n    again = plain(work)",
        "@task\n    def work(): ...\n\n    del work",
        "@task(name='a')\n    def work(): ...\n\n    first = work\n\n    work = 5",
    ],
)
def test_other_names_of_a_task(
    source: str, extension: Extension, monkeypatch: pytest.MonkeyPatch
) -> None:
    extension.write("sound", f"{DECORATED}\n    {source}\n")
    monkeypatch.setitem(config, OPTION, "files_test_extension.sound")
    load_tasks()


def test_decorator_below_that_does_not_wrap(
    extension: Extension, monkeypatch: pytest.MonkeyPatch
) -> None:
    extension.write("below", f"{DECORATED}\n    @task\n    @plain\n    def work(): ...\n")
    monkeypatch.setitem(config, OPTION, "files_test_extension.below")
    refused("plain.<locals>.wrapper is defined within a function", "let that use functools.wraps")


def test_broken_module_of_a_plugin(extension: Extension) -> None:
    extension.write(
        "plugin",
        """
        import ckan.plugins as p
        from ckanext.files.background import IBackgroundTasks

        class Plugin(p.SingletonPlugin):
            p.implements(IBackgroundTasks)

            def get_background_task_modules(self):
                return ["files_test_extension.nowhere"]
        """,
    )
    extension.enter("ckan.plugins", "files_test_extension.plugin:Plugin", "files_test_extension")
    with (
        pytest.raises(TaskDefinitionError, match=r"nowhere, named by the plugin files_test_ext"),
        reloaded("files", "files_background", "files_test_extension"),
    ):
        pass


def test_broken_module_of_the_option(extension: Extension, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(config, OPTION, "files_test_extension.nowhere")
    refused("files_test_extension.nowhere", OPTION)


def test_module_that_is_mended(extension: Extension, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks that a broken module has defined before its error do not prevent a reload."""
    monkeypatch.setitem(config, OPTION, "files_test_extension.tasks")
    extension.write("tasks", TASKS + "\n    1 / 0")
    refused("files_test_extension.tasks", "division by zero")
    extension.write("tasks", TASKS)
    load_tasks()
    assert find_task("NAME.echofunction") is sys.modules["files_test_extension.tasks"].echo
