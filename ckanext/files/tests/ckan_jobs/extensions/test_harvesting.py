"""Harvesting as jobs, in the environment that has ckanext-harvest."""

from __future__ import annotations

from pathlib import Path

from ckanext.files.tests.ckan_jobs.extensions import on_rows as rows
from ckanext.files.tests.ckan_jobs.extensions.test_extensions import pytestmark as pytestmark
from ckanext.files.tests.ckan_jobs.extensions.test_extensions import run
from ckanext.files.tests.support.server import write_ini


def test_harvesting(ini: Path, tmp_path: Path, full_size: bool) -> None:
    options = {"ckan.plugins": f"{rows.PLUGINS} harvest files_test_catalog"}
    write_ini(tmp_path / "test.ini", ini, options)
    cases = Path(__file__).with_name("harvesting.py")
    found = run(
        tmp_path,
        [
            f"-p{rows.__name__}",
            f"--ckan-ini={tmp_path}/test.ini",
            f"-ocache_dir={tmp_path}/cache",
            *(["--full-size"] if full_size else []),
            str(cases),
        ],
    )
    assert found
    assert all(found.values()), found
