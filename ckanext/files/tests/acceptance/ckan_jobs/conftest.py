"""Fixtures of tests with real workers of CKAN's background jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ckanext.files.tests.acceptance.background.conftest import app, brisk, name, no_jobs, workers
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.workers import CKANS, Workers

__all__ = ["app", "brisk", "name", "no_jobs", "workers"]

PLUGINS = ("files", "files_background", "files_jobs")

loaded = load_plugins(*PLUGINS, "files_test_probe")


@pytest.fixture(autouse=True)
def quick_rescue(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that has lost its lock gets less time to take it again."""
    monkeypatch.setattr("ckanext.files.background.worker.stalled._RECONNECTING", 1.0)


@pytest.fixture
def ckans(ini: Path, tmp_path: Path, app: Any, no_jobs: None) -> Iterator[Workers]:
    """Forks of the tests that do what ``ckan jobs worker`` does."""
    workers = Workers(tmp_path, ini, app, CKANS)
    yield workers
    workers.stop()


@pytest.fixture
def ckans_commands(ini: Path, tmp_path: Path, no_jobs: None) -> Iterator[Workers]:
    """Processes of ``ckan jobs worker``."""
    workers = Workers(tmp_path, ini, name=CKANS, plugins=" ".join(PLUGINS))
    yield workers
    workers.stop()
