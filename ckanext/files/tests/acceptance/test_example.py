"""The extension in ``examples/`` is installed by pip, and its own tests pass."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ckanext.files.tests.support.database import Database
from ckanext.files.tests.support.documented import ROOT

EXAMPLE = ROOT / "examples/ckanext-reports"


@pytest.fixture
def database() -> Iterator[Database]:
    """The tests of the example begin with an empty database, as CKAN's fixtures do."""
    database = Database(f"files_example_{uuid.uuid4().hex}")
    database.create()
    yield database
    database.drop()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder that the example is installed into."""
    source, site = tmp_path / "source", tmp_path / "site"
    shutil.copytree(EXAMPLE, source)  # setuptools writes into the folder that it builds
    install = ["-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([sys.executable, *install, "--target", site, source], check=True)
    return site


def test_example(site: Path, database: Database) -> None:
    options = ["-q", "-p", "no:cacheprovider", "--rootdir", site]
    options += ["--ckan-ini", EXAMPLE / "test.ini", "--pyargs", "ckanext.reports"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=site,
        env={**os.environ, "PYTHONPATH": str(site), "CKAN_SQLALCHEMY_URL": database.url},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "4 passed" in ran.stdout
