"""Fixtures of the tests of CKAN's background jobs."""

from __future__ import annotations

from ckanext.files.tests.background.conftest import job_tables, name, no_jobs_left
from ckanext.files.tests.support.load_plugins import load_plugins

__all__ = ["job_tables", "name", "no_jobs_left"]

# for each module: some of them load plugins again
loaded = load_plugins(
    "files",
    "files_background",
    "files_jobs",
    "files_test_probe",
)
