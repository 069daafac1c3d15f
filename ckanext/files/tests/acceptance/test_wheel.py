"""The built wheel, installed where nothing of the checkout can be seen, has all it needs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any

import pytest

from ckanext.files.tests.documented import ROOT

# run by the other Python: prints what it has found
LOOK = """
import json, sys
from importlib.metadata import distribution
from pathlib import Path
import ckanext.files
from ckan.cli import load_config
from ckan.config.middleware import make_app
from ckan.plugins import plugin_loaded, toolkit as tk
app = make_app(load_config(sys.argv[1]))
flask_app = getattr(app, "_wsgi_app", app)
with flask_app.test_request_context():
    found = {
        "place": str(Path(next(iter(ckanext.files.__path__)))),
        "version": distribution("ckanext-files").version,
        "loaded": plugin_loaded("files"),
        "preset": tk.h.scheming_get_preset("files_attachment")["validators"],
        "template": flask_app.jinja_env.get_template(
            "scheming/form_snippets/files_attachment.html"
        ).filename,
        "background": plugin_loaded("files_background"),
        "sql": (Path(next(iter(ckanext.files.__path__))) / "background/sql/tables.sql").exists(),
        "typed": (Path(next(iter(ckanext.files.__path__))) / "py.typed").exists(),
        "help": tk.get_action("help_show")({}, {"name": "package_update"})[:16],
    }
Path(sys.argv[2]).write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel, and CKAN of the one that runs this test."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info"))
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "-w", folder, source], check=True)
    (wheel,) = folder.glob("*.whl")
    environment = folder / "venv"
    venv.create(environment, symlinks=True)
    site = next(environment.glob("lib/python*/site-packages"))
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site]
    subprocess.run([*install, wheel], check=True)
    # a path in a .pth file is not searched for .pth files: the checkout stays out of sight
    (site / "ckan.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return environment


def test_installed_wheel_works(installed: Path, tmp_path: Path) -> None:
    ini, script, answer = tmp_path / "ckan.ini", tmp_path / "look.py", tmp_path / "answer.json"
    ini.write_text(
        (ROOT / "test.ini")
        .read_text()
        .replace(
            "ckan.plugins = files",
            "ckan.plugins = files files_background scheming_datasets\n"
            "scheming.presets = ckanext.scheming:presets.json ckanext.files:presets.yaml",
        )
    )
    script.write_text(LOOK)
    subprocess.run(
        [installed / "bin/python", script, ini, answer],
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ""},
    )
    found: dict[str, Any] = json.loads(answer.read_text())
    assert Path(found["place"]).is_relative_to(installed)
    assert Path(found["template"]).is_relative_to(installed)
    assert found["loaded"]
    assert found["typed"]
    assert found["background"]
    assert found["sql"]
    assert "files_attachment" in found["preset"]
    assert found["help"].startswith("Update a dataset")
