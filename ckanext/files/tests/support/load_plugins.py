"""Load plugins, and make CKAN's application, once for all tests of a module.

CKAN's ``with_plugins`` and ``app`` take a second each, for each test.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from ckan import plugins
from ckan.common import config
from ckan.config import middleware
from ckan.lib import app_globals
from ckan.tests.helpers import _get_test_app
from ckan.tests.pytest_ckan import ckan_setup


def load_plugins(*names: str, scope: Any = "module", **options: Any) -> Any:
    """Return a fixture for a module: ``loaded = load_plugins("files", "files_test_forms")``.

    The fixture is a function: ``loaded()`` makes CKAN's test application.

    :param scope: ``package`` for a ``conftest.py``.
    :param options: further options of CKAN, with ``__`` for each dot.
    """

    @pytest.fixture(scope=scope, autouse=True)
    def loaded() -> Iterator[Any]:
        changed = {name.replace("__", "."): value for name, value in options.items()}
        with plugins_loaded(*names, **changed):
            yield _get_test_app

    return loaded


@contextmanager
def plugins_loaded(*names: str, **options: Any) -> Iterator[None]:
    """Load plugins with further options of CKAN, until the end of the block.

    Within it CKAN's fixture ``app`` makes no second application for the same options.
    """
    changed = {"ckan.plugins": list(names), **options}
    before = dict(config)
    with pytest.MonkeyPatch.context() as patch:
        # CKAN puts its options back to these before each test
        patch.setattr(ckan_setup, "_config", {**ckan_setup._config, **changed})
        # CKAN puts some back to what they were when it first looked at them
        patch.setattr(app_globals, "_CONFIG_CACHE", {})
        patch.setattr(middleware, "make_app", _once_for_the_same_options(middleware.make_app))
        # CKAN asks for the file of its caller: without the source lines of all frames that is quick
        patch.setattr(inspect, "stack", partial(inspect.stack, context=0))
        config.update(changed)
        try:
            plugins.load_all()
            # with what the options of these plugins are by default
            patch.setattr(ckan_setup, "_config", {**config, **ckan_setup._config})
            yield
        finally:
            config.clear()
            config.update(before)
            plugins.unload_all()


def _once_for_the_same_options(make_app: Callable[[Any], Any]) -> Callable[[Any], Any]:
    made: dict[str, Any] = {}

    def make_once(options: Any) -> Any:
        key = repr(sorted(options.items()))
        if key not in made:
            made[key] = make_app(options)
        return made[key]

    return make_once


def storage_options(name: str, **options: Any) -> dict[str, str]:
    """Return CKAN's options of a storage, by their full names."""
    return {f"ckan.files.storage.{name}.{option}": str(value) for option, value in options.items()}


def s3_options(endpoint: str, bucket: str) -> dict[str, str | bool]:
    """Return the options of a storage there."""
    return {
        "endpoint": endpoint,
        "bucket": bucket,
        "key": "key-of-the-tests",
        "secret": "secret-of-the-tests",
        "region": "us-east-1",
        "initialize": True,
    }
