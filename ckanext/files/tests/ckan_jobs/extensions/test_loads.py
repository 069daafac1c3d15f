"""xloader, not changed, loads what was made, whatever is killed meanwhile; with RQ it does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ckanext.files.tests.ckan_jobs.extensions import test_extensions as extensions
from ckanext.files.tests.support.documented import ROOT
from dev.environments import EXTENSIONS

pytestmark = [extensions.pytestmark, pytest.mark.crash]

SCRIPT = f"{__package__}.loads"


def report(ini: Path, folder: Path, full_size: bool, jobs: str) -> dict[str, Any]:
    """Run the script, with servers' contents of its own; return what it has found."""
    size = ("200", "100000") if full_size else ("16", "2000")
    dev = [sys.executable, "-m", "dev", "run", f"{extensions.VERSION}{EXTENSIONS}"]
    command = [*dev, "python", "-m", SCRIPT, str(ini), str(folder), *size, jobs]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    logs = "".join(f"\n{log}:\n{log.read_text()[-3000:]}" for log in folder.glob("*.log"))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:] + logs
    return json.loads((folder / "report.json").read_text())


def test_on_rows(ini: Path, tmp_path: Path, full_size: bool, record_property: Any) -> None:
    """Each is loaded completely; no job and no table is there before its resource is committed."""
    found = report(ini, tmp_path, full_size, "rows")
    record_property("report", found)
    assert (found["lost"], found["early"], found["sleeps"]) == ([], [], 0), found
    assert found["again"]


def test_with_rq(ini: Path, tmp_path: Path, full_size: bool, record_property: Any) -> None:
    """The negative control: the same script finds what is lost with jobs in Redis."""
    if not full_size:
        pytest.skip("takes half a minute: only with --full-size")
    found = report(ini, tmp_path, full_size, "redis")
    record_property("report", found)
    assert found["lost_answered"], found
