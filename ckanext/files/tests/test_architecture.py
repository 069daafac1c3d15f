"""Arrows go one way: edges, rooms, leaves."""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Mapping
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement

import ckanext.files
from ckanext.files.tests.support.documented import ROOT as CHECKOUT

ROOT = Path(next(iter(ckanext.files.__path__)))
PACKAGE = "ckanext.files"

_HOUSE = runpy.run_path(str(CHECKOUT / "docs/tools/house.py"))
PARTS: dict[str, Path] = _HOUSE["part_paths"]()
imported_parts: Callable[[Path], set[str]] = _HOUSE["imported_parts"]
imported_names: Callable[[ast.AST, str], list[str]] = _HOUSE["imported_names"]

# what each part may import of this extension; a part that is not here is an edge
MAY_IMPORT: dict[str, set[str]] = {
    "advisory_locks": set(),
    "errors": set(),
    "capabilities": set(),
    "parameters": set(),
    "chained": set(),
    "csrf": set(),
    "next_page": set(),
    "error_texts": set(),
    "hint": set(),
    "form_request": set(),
    "form_choices": set(),
    "transaction": {"advisory_locks", "errors", "capabilities"},
    "queue": {"transaction", "chained", "errors", "capabilities"},
    "filekeeper": {"transaction", "advisory_locks", "errors"},
    "backport": {"filekeeper", "transaction", "parameters", "capabilities"},
    "store": {"backport", "filekeeper", "errors", "capabilities"},
    "search": {"store", "capabilities"},
    "core_files": {"backport", "store", "downloads", "views", "capabilities"},
    "ownership": {"queue", "store", "form_request", "error_texts", "hint", "errors"},
    "shared": {"transaction", "queue", "ownership", "errors"},
    "uploads": {
        "transaction",
        "store",
        "filekeeper",
        "csrf",
        "parameters",
        "advisory_locks",
        "error_texts",
        "errors",
    },
    "logic": {
        "uploads",
        "ownership",
        "search",
        "transaction",
        "chained",
        "store",
        "filekeeper",
        "form_request",
        "parameters",
        "error_texts",
        "errors",
        "capabilities",
    },
    "pages": {
        "uploads",
        "ownership",
        "search",
        "store",
        "filekeeper",
        "csrf",
        "next_page",
        "form_request",
        "form_choices",
        "parameters",
        "error_texts",
        "errors",
        "capabilities",
    },
    "downloads": {"filekeeper", "parameters"},
    "views": set(),
    "upgrade": {"backport", "ownership", "search", "store", "errors", "capabilities"},
    "cli": {
        "uploads",
        "backport",
        "upgrade",
        "store",
        "transaction",
        "hint",
        "errors",
        "capabilities",
    },
    "background": {"transaction", "advisory_locks", "hint", "errors"},
    "ckan_jobs": {"background", "transaction", "advisory_locks"},
    "harvest_jobs": {"ckan_jobs", "background", "queue", "transaction", "chained"},
    "ckan_jobs_plugin": {
        "harvest_jobs",
        "ckan_jobs",
        "background_plugin",
        "background",
        "queue",
        "cli",
    },
    "pytest_plugin": {"background"},
    "maintenance": {
        "uploads",
        "background",
        "store",
        "filekeeper",
        "backport",
        "transaction",
        "errors",
        "capabilities",
    },
    "background_plugin": {
        "background",
        "maintenance",
        "filekeeper",
        "transaction",
        "csrf",
        "next_page",
        "form_choices",
        "parameters",
        "error_texts",
        "hint",
        "errors",
        "cli",
    },
    "plugin": {"cli", "core_files", "pages", "logic", "uploads", "ownership", "queue"},
}


def test_parts_import_what_stands_below() -> None:
    for part, path in PARTS.items():
        assert part in MAY_IMPORT, f"say in MAY_IMPORT where {part} stands"
        assert imported_parts(path) - {part} <= MAY_IMPORT[part], part
    assert circle(MAY_IMPORT) == []


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """Return names that import each other in a circle, the first one again at the end."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def product() -> list[Path]:
    """Return the modules of the product, without the tests."""
    return [path for path in ROOT.rglob("*.py") if "tests" not in path.relative_to(ROOT).parts]


def module_graph() -> dict[str, set[str]]:
    """Return what each module imports of this extension, also for type checkers only.

    An import of a module counts for that module, not for the packages around it.
    """
    modules = {module_name(path): path for path in product()}
    graph = {}
    for module, path in modules.items():
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        found = names_in(path, package)
        graph[module] = {n if n in modules else n.rpartition(".")[0] for n in found} & {*modules}
    return graph


def module_name(path: Path) -> str:
    parts = [PACKAGE, *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts).removesuffix(".__init__")


def names_in(path: Path, package: str) -> set[str]:
    """Return all names that a module imports."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {name for node in nodes for name in imported_names(node, package)}


def test_no_circle_of_modules() -> None:
    graph = module_graph()
    assert circle(graph) == []
    # a relative import, and one for type checkers: with the way back it would be a circle
    for module, other in (
        ("ownership.owners", "ownership.policy"),
        ("pytest_plugin", "background.testing"),
    ):
        module, other = f"{PACKAGE}.{module}", f"{PACKAGE}.{other}"
        assert other in graph[module]
        assert set(circle({**graph, other: {module}})) >= {module, other}


def test_procrastinate_lives_in_one_room() -> None:
    rooms = {
        path.relative_to(ROOT).parts[0]
        for path in product()
        if any(name.split(".")[0] == "procrastinate" for name in names_in(path, f"{PACKAGE}.x.y.z"))
    }
    assert rooms == {"background"}


def test_only_one_module_asks_for_versions() -> None:
    for path in product():
        if path.name != "capabilities.py":
            assert not re.search("check_ckan_version|__version__", path.read_text()), path


def test_without_the_extra() -> None:
    """Plugin ``files`` does without Procrastinate, ``files_background`` says what to install."""
    script = """
import sys
sys.modules["procrastinate"] = None
import ckanext.files.plugin, ckanext.files.shared, ckanext.files.pytest_plugin
try:
    import ckanext.files.background_plugin.plugin
except ImportError as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    [needed] = [name for name in requires("ckanext-files") or () if 'extra == "background"' in name]
    [told] = re.findall("pip install '(.+)'", ran.stdout)
    assert Requirement(told) == Requirement(needed.split(";")[0])
