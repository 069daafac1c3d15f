"""What an administrator installs: the package, its tables, and the example extension."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import uuid
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ckanext.files import capabilities
from ckanext.files.background.schema import SCHEMA
from ckanext.files.tests.support.crash import Fork
from ckanext.files.tests.support.database import Database
from ckanext.files.tests.support.documented import ROOT, blocks, links, problems
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.old_tables import TABLES

loaded = load_plugins("files", "files_background")

# run by the other Python: writes what it has found
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
ours = distribution("ckanext-files")
with flask_app.test_request_context():
    template = flask_app.jinja_env.get_template("scheming/form_snippets/files_attachment.html")
    found = {
        "places": [str(root), template.filename],
        "requires": ours.requires,
        "description": ours.metadata.get_payload(),
        "loaded": [plugin_loaded(n) for n in ("files", "files_background", "files_jobs")],
        "preset": tk.h.scheming_get_preset("files_attachment")["validators"],
        "migrations": len(list(root.glob("migration/files/versions/*.py"))),
        "there": [(root / name).exists() for name in (
            "background/sql/tables.sql", "ckan_jobs/jobs.sql", "py.typed", "tests"
        )],
        # each can be loaded
        "entry_points": [point.name for point in ours.entry_points if point.load()],
        "help": tk.get_action("help_show")({}, {"name": "package_update"})[:16],
    }
Path(sys.argv[2]).write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with all that this one has, but for this extension."""
    environment = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(environment, symlinks=True)
    [site] = environment.glob("lib/python*/site-packages")
    others = environment / "others"
    others.mkdir()
    for path in Path(sysconfig.get_paths()["purelib"]).iterdir():
        # a path in a .pth file is not searched for .pth files
        if not path.name.startswith("ckanext_files"):
            (others / path.name).symlink_to(path)
    (site / "others.pth").write_text(f"{others}\n")
    pip = environment / "bin/pip"
    pip.write_text('#!/bin/sh\nexec python -m pip "$@"\n')
    pip.chmod(0o755)
    return environment


@pytest.fixture(params=["pip install '.", "pip wheel "], ids=["source", "wheel"])
def installed(request: pytest.FixtureRequest, environment: Path, tmp_path: Path) -> Iterator[Path]:
    """The environment, after the documented commands where the checkout cannot be seen."""
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info"))
    pages = ("README.rst", "docs/learning/install.rst")
    texts = [text for page in pages for text in blocks(page, "bash")]
    [commands] = [text for text in texts if text.startswith(request.param)]

    def run(script: str) -> None:
        variables = {
            **os.environ,
            "PATH": f"{environment / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": "",
            # all that it needs is there: no package index is asked
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # the value that switches isolation off
        }
        subprocess.run(["bash", "-euxc", script], check=True, cwd=source, env=variables)

    run(commands)
    yield environment
    run("pip uninstall --yes ckanext-files")


def test_installed_wheel_works(installed: Path, tmp_path: Path) -> None:
    found = _look(installed, tmp_path)
    for place in found["places"]:
        assert Path(place).is_relative_to(installed)
    assert found["loaded"] == [True] * 3
    assert found["there"] == [True, True, True, False]
    assert {"files", "files_background", "files_jobs"} < set(found["entry_points"])
    assert found["migrations"] == 4
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
    plugins = (
        "ckan.plugins = files files_background files_jobs scheming_datasets\n"
        "scheming.presets = ckanext.scheming:presets.json ckanext.files:presets.yaml"
    )
    ini.write_text((ROOT / "test.ini").read_text().replace("ckan.plugins = files", plugins))
    script.write_text(LOOK)
    look = [installed / "bin/python", script, ini, answer]
    subprocess.run(look, check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""})
    return json.loads(answer.read_text())


@pytest.fixture
def database() -> Iterator[Database]:
    database = Database(f"ckan_installation_{uuid.uuid4().hex[:12]}")
    database.create()
    yield database
    database.drop()


@pytest.fixture
def ckan(database: Database, loaded: Any, tmp_path: Path) -> Callable[..., str]:
    """Run commands of CKAN at once, each in a process of its own; return what they print."""
    app = loaded()

    def run(*commands: str, code: int = 0) -> str:
        logs = [tmp_path / f"log-{uuid.uuid4()}" for _ in commands]
        started = [
            Fork(database.command(app, command), log.open("wb"))
            for command, log in zip(commands, logs, strict=True)
        ]
        codes = [each.wait(120) for each in started]
        said = "".join(log.read_text() for log in logs)
        assert codes == [code] * len(commands), said
        return said

    return run


FILES = [] if capabilities.CORE_FILES else ["files_file"]
REST = [] if capabilities.CORE_FILES else ["files_owner", "files_transfer_history"]
OURS = sorted([*FILES, "files_index_intent", "files_upload", "files_upload_tail", *REST])
THEIRS = ["files_alembic_version", "files_file", "files_owner", "files_transfer_history"]
HEAD = "e1d83b62c794 (head)"


def tables(database: Database, schema: str = "public", like: str = "%") -> list[str]:
    query = f"""
        SELECT tablename FROM pg_tables
        WHERE schemaname = '{schema}' AND tablename LIKE '{like}' ORDER BY 1
    """
    return [name for (name,) in database.rows(query)]


def indexes(database: Database) -> int:
    """Return the number of indexes for searches; the table that has them is CKAN's own on 2.12."""
    query = r"SELECT count(*) FROM pg_indexes WHERE indexname LIKE 'idx\_file%\_search\_%'"
    return database.rows(query)[0][0]


def test_tables_of_files(database: Database, ckan: Callable[..., str]) -> None:
    """``ckan db ...`` copes with every database that it may find."""

    def ours() -> list[str]:
        return tables(database, like=r"files\_%")

    # CKAN names the migrations that it is about to apply, and has none left after that
    assert "4 unapplied migrations for files" in ckan("db init")
    assert ours() == OURS
    assert "unapplied" not in ckan("db init")
    assert "unapplied" not in ckan("db pending-migrations")
    assert HEAD in ckan("db version -p files")
    ckan("db upgrade -p files")
    assert ours() == OURS

    # a portal has files, but neither intents nor uploads
    ckan("db downgrade -p files -v b7d1c5f0a901")
    assert ours() == [*FILES, *REST]
    assert "3 unapplied" in ckan("db upgrade")
    assert ours() == OURS
    assert indexes(database) == 6

    # nothing is there
    ckan("db downgrade -p files")
    assert ours() == []
    assert indexes(database) == 0
    assert "4 unapplied" in ckan("db pending-migrations")

    # ckanext-files 1.x was there, with revisions that are not among ours
    database.change(
        TABLES + "CREATE TABLE files_alembic_version (version_num varchar(32) PRIMARY KEY);"
        "INSERT INTO files_alembic_version VALUES ('b4b6ff46cd13')"
    )
    said = ckan("db upgrade -p files")
    assert "its revision is b4b6ff46cd13" in said
    assert "ckan files takeover --dry-run" in said
    assert ("ckan files to-core" in said) == capabilities.CORE_FILES
    assert "unapplied" not in ckan("db pending-migrations")
    ckan("db upgrade")
    assert "stay as they are" in ckan("db downgrade -p files")
    assert ours() == THEIRS
    assert database.rows("SELECT count(*) FROM files_transfer_history") == [(3,)]
    assert database.rows("SELECT version_num FROM files_alembic_version") == [("b4b6ff46cd13",)]
    ckan("db upgrade -p files")
    assert HEAD in ckan("db version -p files")


@pytest.mark.skipif(not capabilities.CORE_FILES, reason="needs CKAN's own table of files")
def test_core_migrations_with_our_indexes(database: Database, ckan: Callable[..., str]) -> None:
    ckan("db init")
    before_files = "f7b64c701a10"
    ckan(f"db downgrade -v {before_files}")
    assert "file" not in tables(database)
    assert indexes(database) == 0
    ckan("db upgrade")
    assert "file" in tables(database)
    assert indexes(database) == 0
    assert "nothing to move" in ckan("files to-core")
    assert indexes(database) == 6


def test_tables_of_the_background(database: Database, ckan: Callable[..., str]) -> None:
    """``ckan db ...`` and ``ckan files background init`` get along."""
    ckan("db init")
    assert tables(database, SCHEMA) == []  # never by itself
    said = ckan("files background worker", "files background status", code=1)
    assert said.count("Run: ckan files background init") == 2

    # two at once, and again
    ckan("files background init", "files background init")
    made = tables(database, SCHEMA)
    assert {"files_job", "procrastinate_jobs", "procrastinate_workers"} <= {*made}
    ckan("files background init")
    assert tables(database, SCHEMA) == made
    assert "up to date" in ckan("files background status")

    # a job outlives what happens to CKAN's tables
    database.change(f"""
        INSERT INTO {SCHEMA}.procrastinate_jobs (task_name, queue_name, args)
        VALUES ('ckanext.files.chain', 'default', '{{"calls": []}}')
    """)
    portal = tables(database)
    assert "package" in portal
    assert indexes(database) == 6
    ckan("db upgrade")
    ckan("db clean --yes")
    assert "package" not in tables(database)
    assert tables(database, SCHEMA) == made
    ckan("db init")
    assert tables(database) == portal
    assert indexes(database) == 6
    ckan("files background worker --no-wait")
    status = f"SELECT status FROM {SCHEMA}.procrastinate_jobs"
    assert database.rows(status) == [("succeeded",)]


EXAMPLE = ROOT / "examples/ckanext-reports"


def test_example(database: Database, tmp_path: Path) -> None:
    """The extension in ``examples/`` is installed by pip, and its own tests pass."""
    source, site = tmp_path / "source", tmp_path / "site"
    shutil.copytree(EXAMPLE, source)  # setuptools writes into the folder that it builds
    install = ["-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([sys.executable, *install, "--target", site, source], check=True)
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
