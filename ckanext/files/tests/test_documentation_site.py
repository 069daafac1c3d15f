"""The site is built without a warning, and its picture is the one of the code."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

from ckanext.files.tests.support.documented import ROOT


def test_picture_of_the_house() -> None:
    house = runpy.run_path(str(ROOT / "docs/tools/house.py"))
    assert house["draw"]() == house["PICTURE"].read_text(), "run: python docs/tools/house.py"


def test_site(tmp_path: Path) -> None:
    """Each page, reference and example of the site; a page that no other leads to is a warning."""
    built = subprocess.run(
        [
            *(sys.executable, "-m", "sphinx", "-qWE", "--keep-going"),
            *("-d", tmp_path / "doctrees", "docs", tmp_path / "site"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    reference = tmp_path / "site/reference"
    assert "files_job_list" in (reference / "actions.html").read_text()
    assert "ckan files background worker" in (reference / "commands.html").read_text()
    configuration = (reference / "configuration.html").read_text()
    for option in _options():
        assert f'id="{option.replace(".", "-").replace("_", "-")}"' in configuration


def _options() -> list[str]:
    files = (ROOT / "ckanext/files").glob("*/config_declaration.yaml")
    found = [re.findall(r"key: (ckanext\.\S+)", file.read_text()) for file in files]
    return [option for options in found for option in options]
