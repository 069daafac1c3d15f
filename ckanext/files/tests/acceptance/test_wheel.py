"""The extension, installed by the documented commands where the checkout cannot be seen."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path
from typing import Any

import pytest

from ckanext.files.tests.support.documented import ROOT, blocks
from ckanext.files.tests.support.rendering import links, problems

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
root = Path(next(iter(ckanext.files.__path__)))
with flask_app.test_request_context():
    found = {
        "place": str(root),
        "requires": distribution("ckanext-files").requires,
        "description": distribution("ckanext-files").metadata.get_payload(),
        "loaded": plugin_loaded("files"),
        "preset": tk.h.scheming_get_preset("files_attachment")["validators"],
        "template": flask_app.jinja_env.get_template(
            "scheming/form_snippets/files_attachment.html"
        ).filename,
        "background": plugin_loaded("files_background"),
        "sql": (root / "background/sql/tables.sql").exists(),
        "migrations": len(list(root.glob("migration/files/versions/*.py"))),
        "typed": (root / "py.typed").exists(),
        "tests": (root / "tests").exists(),
        # each can be loaded
        "entry_points": [
            point.name for point in distribution("ckanext-files").entry_points if point.load()
        ],
        "help": tk.get_action("help_show")({}, {"name": "package_update"})[:16],
    }
Path(sys.argv[2]).write_text(json.dumps(found))
"""


@pytest.fixture(scope="module", params=["pip install '.", "pip wheel "], ids=["source", "wheel"])
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that these commands have installed it into."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info"))
    environment = folder / "venv"
    _make(environment)
    pages = ("README.rst", "docs/learning/install.rst")
    texts = [text for page in pages for text in blocks(page, "bash")]
    [commands] = [text for text in texts if text.startswith(request.param)]
    subprocess.run(
        ["bash", "-euxc", commands],
        check=True,
        cwd=source,
        env={
            **os.environ,
            "PATH": f"{environment / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": "",
            # all that it needs is there: no package index is asked
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # the value that switches isolation off
        },
    )
    return environment


def _make(environment: Path) -> None:
    """Make a virtual environment with all that this one has, but for this extension."""
    venv.create(environment, symlinks=True, with_pip=True)
    [site] = environment.glob("lib/python*/site-packages")
    others = environment / "others"
    others.mkdir()
    for path in Path(sysconfig.get_paths()["purelib"]).iterdir():
        # a path in a .pth file is not searched for .pth files
        if not path.name.startswith("ckanext_files"):
            (others / path.name).symlink_to(path)
    (site / "others.pth").write_text(f"{others}\n")


def test_installed_wheel_works(installed: Path, tmp_path: Path) -> None:
    found = _look(installed, tmp_path)
    assert Path(found["place"]).is_relative_to(installed)
    assert Path(found["template"]).is_relative_to(installed)
    assert found["loaded"]
    assert found["typed"]
    assert not found["tests"]
    assert {"files", "files_background"} < set(found["entry_points"])
    assert found["migrations"] == 2
    assert found["background"]
    assert found["sql"]
    assert "files_attachment" in found["preset"]
    assert found["help"].startswith("Update a dataset")
    extra = [name for name in found["requires"] if "extra" in name]
    assert [name.split(";")[1].strip() for name in extra] == ['extra == "background"']
    assert problems(found["description"]) == []
    addresses = links(found["description"])
    assert len(addresses) > 5
    for address in addresses:
        assert address.startswith("https://")
        assert "/blob/HEAD/" not in address or (ROOT / address.split("/blob/HEAD/")[1]).is_file()


def _look(installed: Path, tmp_path: Path) -> dict[str, Any]:
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
    return json.loads(answer.read_text())
