"""``pytest --quick``: the tests that a developer runs at each change.

One case of each test; not the tests of random sequences, those marked ``crash``, and folders that
are slow as a whole. A test that is about to start a process is skipped.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path

import pytest

SLOW = {"acceptance", "browser", "comparison", "core_tests", "documentation", "pages"}
"""Folders."""

PROCESSES = {"subprocess.Popen", "os.fork", "os.posix_spawn", "os.system", "pty.spawn"}
"""Names of Python's audit events."""


class Quick:
    """A plugin of pytest."""

    def __init__(self) -> None:
        missing = {name for name in SLOW if not Path(__file__).parents[1].joinpath(name).is_dir()}
        assert not missing, f"no folders of these names: {missing}"
        self._in_test = False
        sys.addaudithook(self._refuse)

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        return True if collection_path.name in SLOW else None

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        chosen: dict[str, pytest.Item] = {}
        for item in items:
            if not _is_random(item) and not item.get_closest_marker("crash"):
                chosen.setdefault(item.nodeid.partition("[")[0], item)
        config.hook.pytest_deselected(items=[i for i in items if i not in chosen.values()])
        items[:] = chosen.values()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        self._in_test = True
        try:
            return (yield)
        finally:
            self._in_test = False

    def _refuse(self, event: str, arguments: object) -> None:
        if self._in_test and event in PROCESSES:
            pytest.skip("--quick starts no process")


def _is_random(item: pytest.Item) -> bool:
    """Return whether it draws what it does, and takes as long as it draws."""
    drawn = hasattr(getattr(item, "obj", None), "hypothesis")
    return drawn or "full_size" in getattr(item, "fixturenames", ())
