"""CKAN 2.12's own tests of files, a class for each of their modules."""

from __future__ import annotations

import inspect
import linecache
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk
import file_keeper as fk
import pytest
from ckan import model
from ckan.lib import api_token

from ckanext.files import capabilities
from ckanext.files.tests.support.documented import ROOT
from dev.environments import RELEASES

FOLDER = ROOT / ".dev/core-tests"

MODULES = {
    "TestAction": "ckan.tests.logic.action.test_file",
    "TestAuth": "ckan.tests.logic.auth.test_file",
    "TestBase": "ckan.tests.lib.files.test_base",
    "TestModel": "ckan.tests.model.test_file",
    "TestStorages": "ckan.tests.lib.test_files",
    "TestViews": "ckan.tests.controllers.test_file",
}


def _tests_of(module: str) -> dict[str, Any]:
    """Return the tests of a module by their names, as attributes of a class."""
    found = vars(import_module(module)) if capabilities.CORE_FILES else _execute(module)
    return {
        name: staticmethod(item) if inspect.isfunction(item) else item
        for name, item in found.items()
        if name.lower().startswith("test")
    }


def _execute(module: str) -> dict[str, Any]:
    wheel = _wheel()
    name = f"{module.replace('.', '/')}.py"
    path = f"{wheel}/{name}"
    text = zipfile.ZipFile(wheel).read(name).decode()
    # for the tracebacks of tests that fail
    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)
    namespace: dict[str, Any] = {"__name__": module, "__file__": path}
    with _modules_of_core():
        exec(compile(text, path, "exec"), namespace)
    return namespace


def _wheel() -> Path:
    """Return the wheel of CKAN 2.12; pip downloads it once, and does not install it."""
    name = f"ckan-{RELEASES['2.12']}-py3-none-any.whl"
    if not (FOLDER / name).exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=FOLDER) as folder:
            pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder]
            if subprocess.call([*pip, f"ckan=={RELEASES['2.12']}"]):
                pytest.skip("pip cannot download CKAN 2.12", allow_module_level=True)
            Path(folder, name).rename(FOLDER / name)
    return FOLDER / name


@contextmanager
def _modules_of_core() -> Iterator[None]:
    """Let imports of names that only CKAN 2.12 has find the backport's, while the block runs."""
    with pytest.MonkeyPatch.context() as patch:
        for name, module in _stand_ins().items():
            parent, _, child = name.rpartition(".")
            patch.setitem(sys.modules, name, module)
            patch.setattr(import_module(parent), child, module, raising=False)
        yield


def _stand_ins() -> dict[str, ModuleType]:
    storage, search, files = (
        import_module(f"ckanext.files.backport.{name}") for name in ("storage", "search", "model")
    )
    return {
        "ckan.model": _module(model, files),
        "ckan.plugins": _module(p, IFiles=p.Interface),
        "ckan.plugins.toolkit": _module(tk, NotFound=tk.ObjectNotFound),
        "ckan.lib.files": _module(fk, storage, base=storage),
        "ckan.lib.files.base": storage,
        "ckan.lib.api_token": _module(api_token, encode_token=api_token.encode),
        "ckan.logic.action.file": _module(_file_search=search.file_search),
    }


def _module(*contents: Any, **more: Any) -> ModuleType:
    module = ModuleType("of CKAN 2.12")
    for content in contents:
        vars(module).update(vars(content))
    vars(module).update(more)
    return module


globals().update({name: type(name, (), _tests_of(module)) for name, module in MODULES.items()})
