"""Tasks of extensions are found, by entry points, by plugins and by an option."""

from __future__ import annotations

import importlib
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

from ckanext.files.background import TaskDefinitionError, registry, send_task
from ckanext.files.background.discovery import OPTION, load_tasks
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.loaded import load_plugins, plugins_loaded

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
    monkeypatch.setattr(registry, "_tasks", dict(registry._tasks))
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


@pytest.mark.parametrize("group", [OURS, OLD])
def test_entry_points(group: str, extension: Extension, tasks: TasksManager) -> None:
    extension.enter(group, "files_test_extension.celery_import:task_imports")
    assert not registry.is_known("NAME.echofunction")
    load_tasks()
    assert registry.find("NAME.echofunction").path == "files_test_extension.tasks.echo"
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
    assert registry.is_known("NAME.echofunction")
    assert registry.is_known("NAME.more")


def test_plugin_finds_them_when_it_is_loaded(extension: Extension) -> None:
    extension.enter(OLD, "files_test_extension.celery_import:task_imports")
    with reloaded("files", "files_background"):
        assert registry.is_known("NAME.echofunction")


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
        assert registry.is_known("NAME.echofunction")


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
        assert not registry.is_known("NAME.echofunction")


@pytest.mark.parametrize("value", ["files_test_extension.tasks", ["files_test_extension.tasks"]])
def test_option(value: Any, extension: Extension, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(config, OPTION, value)
    load_tasks()
    assert registry.is_known("NAME.echofunction")


def test_option_with_many(extension: Extension, monkeypatch: pytest.MonkeyPatch) -> None:
    extension.write("more", TASKS.replace("NAME.echofunction", "NAME.more"))
    monkeypatch.setitem(config, OPTION, "files_test_extension.tasks\n files_test_extension.more")
    load_tasks()
    assert registry.is_known("NAME.echofunction")
    assert registry.is_known("NAME.more")


def test_option_is_declared(extension: Extension) -> None:
    with reloaded("files", "files_background", **{OPTION: "files_test_extension.tasks"}):
        assert registry.is_known("NAME.echofunction")
        assert config[OPTION] == ["files_test_extension.tasks"]


def test_twice_is_once(extension: Extension, monkeypatch: pytest.MonkeyPatch) -> None:
    """One module may be named by several, and again."""
    for number, group in enumerate((OURS, OLD)):
        extension.enter(group, "files_test_extension.celery_import:task_imports", f"n{number}")
    monkeypatch.setitem(config, OPTION, "files_test_extension.tasks")
    load_tasks()
    load_tasks()
    assert [task.name for task in registry.all_tasks()].count("NAME.echofunction") == 1


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
    group: str, source: str, culprit: str, extension: Extension
) -> None:
    """The entry point, its group, and the module if there is one."""
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
    refused(culprit, group, f"tasks = {value}", module[1] if module else "")


@pytest.mark.parametrize(
    "value",
    [
        "files_test_extension.nowhere:task_imports",
        "files_test_extension.celery_import:nothing",
        "files_test_extension.celery_import",
    ],
)
def test_entry_point_that_names_no_function(value: str, extension: Extension) -> None:
    extension.enter(OLD, value)
    refused(OLD, f"tasks = {value}")


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
    """What a broken module has defined before it failed stands in nobody's way."""
    monkeypatch.setitem(config, OPTION, "files_test_extension.tasks")
    extension.write("tasks", TASKS + "\n    1 / 0")
    refused("files_test_extension.tasks", "division by zero")
    extension.write("tasks", TASKS)
    load_tasks()
    assert registry.find("NAME.echofunction") is sys.modules["files_test_extension.tasks"].echo
