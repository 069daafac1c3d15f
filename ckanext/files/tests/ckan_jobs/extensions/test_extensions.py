"""What an extension tests about its jobs passes on rows if it passes with RQ.

At full size all run, with RQ and on rows; otherwise some of them on rows.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import ckan
import pytest

from ckanext.files.tests.ckan_jobs.extensions import on_rows as rows
from ckanext.files.tests.ckan_jobs.extensions.suites import SUITES, Suite
from ckanext.files.tests.support.documented import ROOT
from ckanext.files.tests.support.server import write_ini
from dev.__main__ import OUR_VARIABLES
from dev.environments import EXTENSIONS

VERSION = ckan.__version__.rpartition(".")[0]

pytestmark = pytest.mark.skipif(
    "CKAN_SQLALCHEMY_URL" not in os.environ.get(OUR_VARIABLES, ""),
    reason="each run of these tests needs databases of its own, as dev/run.sh makes them",
)

OPTIONS = ("-q", "-ofilterwarnings=ignore", "-oxfail_strict=false")


def outcomes(name: str, ini: Path, folder: Path, on_rows: bool, some: str = "") -> dict[str, bool]:
    """Run the tests of an extension; return which ones have passed.

    Those that fail run again: jobs of xloader's tests have two seconds, on a busy machine, too.
    """
    suite, folder = SUITES[name], folder / ("rows" if on_rows else "redis")
    folder.mkdir()
    plugins = [*suite.pytest_plugins, *([rows.__name__] if on_rows else [])]
    arguments = [
        *(f"-p{plugin}" for plugin in plugins),
        *(f"--ckan-ini={configured(suite, ini, folder, on_rows)}", f"-ocache_dir={folder}/cache"),
        *("-k", some, "--pyargs", *(f"ckanext.{name}.tests.{module}" for module in suite.modules)),
    ]
    found = run(folder, arguments)
    return found if all(found.values()) else found | run(folder, ["--last-failed", *arguments])


def run(folder: Path, arguments: Sequence[str]) -> dict[str, bool]:
    """Run pytest in the environment of the extensions, with servers' contents of its own."""
    report = folder / "report.xml"
    report.unlink(missing_ok=True)
    dev = [sys.executable, "-m", "dev", "run", f"{VERSION}{EXTENSIONS}"]
    command = [*dev, "pytest", *OPTIONS, f"--junitxml={report}", *arguments]
    # some tests look into /tmp, and the other version's tests run at the same time
    environment = {**os.environ, "TMPDIR": str(folder)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    assert report.exists(), done.stdout[-5000:] + done.stderr[-5000:]
    cases = ET.parse(report).iter("testcase")
    return {f"{case.get('classname')}::{case.get('name')}": not len(case) for case in cases}


def configured(suite: Suite, ini: Path, folder: Path, on_rows: bool) -> Path:
    """Return a configuration file as the extension wants it."""
    plugins = f"{rows.PLUGINS} {suite.plugins}" if on_rows else suite.plugins
    options = {name: value.format(folder=folder) for name, value in suite.options.items()}
    write_ini(folder / "test.ini", ini, {"ckan.plugins": plugins, **options})
    return folder / "test.ini"


@pytest.mark.parametrize("name", SUITES)
def test_extension(name: str, ini: Path, tmp_path: Path, full_size: bool) -> None:
    suite = SUITES[name]
    if full_size:
        with_rq = outcomes(name, ini, tmp_path, on_rows=False)
        on_rows = outcomes(name, ini, tmp_path, on_rows=True)
        assert on_rows.keys() == with_rq.keys()
        worse = {test for test, passed in with_rq.items() if passed and not on_rows[test]}
        assert {test.rpartition("::")[2] for test in worse} == suite.about_redis
        assert sum(on_rows.values()) >= suite.passed[VERSION]
    elif suite.some:
        found = outcomes(name, ini, tmp_path, on_rows=True, some=suite.some)
        assert found
        assert all(found.values()), found
    else:
        pytest.skip("only at full size: it has no jobs of CKAN")
