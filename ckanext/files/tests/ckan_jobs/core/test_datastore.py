"""CKAN's own tests of the datastore that look at jobs, of the release that runs.

CKAN 2.12 counts records and notes changes in jobs that wait for a time, by ids of its own.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import FunctionType
from typing import Any

import ckanext.datastore.tests.test_create as create
import ckanext.datastore.tests.test_delete as delete
import ckanext.datastore.tests.test_upsert as upsert
from ckanext.datastore.tests.conftest import clean_datastore
from ckanext.datastore.tests.test_db import TestBackgroundJobs

from ckanext.files import capabilities
from ckanext.files.tests.support.datastore import needs_datastore
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background", "files_jobs", "datastore")

pytestmark = needs_datastore

__all__ = ["TestBackgroundJobs", "clean_datastore"]

_LOOKS = {"job_from_id", "get_job_queue"}


def _about_jobs(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tests that look at jobs."""
    found = {}
    for name, member in members.items():
        if isinstance(member, FunctionType) and name.startswith("test_"):
            if _LOOKS & set(member.__code__.co_names):
                found[name] = member
        elif inspect.isclass(member) and (tests := _about_jobs(vars(member))):
            marks = getattr(member, "pytestmark", [])
            found[name] = type(name, (), {**tests, "pytestmark": marks})
    return found


for _module in (create, delete, upsert):
    globals().update(_about_jobs(vars(_module)))


def test_they_are_found() -> None:
    """Only CKAN 2.12's datastore asks for jobs."""
    names = {
        "test_create_schedules_record_count",
        "TestDatastoreUpsert",
        "TestDatastoreRecordsDelete",
    }
    assert names <= set(globals()) or not capabilities.CORE_FILES
