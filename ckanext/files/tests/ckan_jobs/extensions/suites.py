"""Which tests of which extensions, and what each extension wants in CKAN's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Suite(NamedTuple):
    """The tests of an extension about its jobs."""

    modules: tuple[str, ...]
    plugins: str
    passed: Mapping[str, int]
    """How many pass at least on which version of CKAN; the others fail with RQ, too."""

    options: Mapping[str, str] = {}
    pytest_plugins: tuple[str, ...] = ()
    about_redis: frozenset[str] = frozenset()
    """Those that look into Redis by themselves, and are skipped with any other queue."""

    some: str = ""
    """Those that each run of our own tests has, as pytest's ``-k``; without it none."""


SUITES = {
    # One more where the machine is not busy: a job has to be at the right place after two seconds.
    "xloader": Suite(
        ("test_jobs", "test_action", "test_plugin"),
        "datastore xloader",
        {"2.12": 52, "2.11": 52},
        {
            "ckanext.xloader.queue_names": "default0 default1",
            "ckanext.xloader.jobs_db.uri": "sqlite:///{folder}/xloader.db",
        },
        some="data_into_datastore or 502 or ValueError or submit",
    ),
    # It is older than these versions of CKAN: what fails is what they do in another way.
    "validation": Suite(
        ("test_jobs", "test_logic", "test_plugin", "test_interfaces"),
        "validation scheming_datasets",
        {"2.12": 57, "2.11": 66},
        {
            "scheming.dataset_schemas": "ckanext.validation.examples:ckan_default_schema.json",
            "scheming.presets": "ckanext.scheming:presets.json ckanext.validation:presets.json",
        },
        (f"{__package__}.validation_fixes", "ckanext.validation.tests.fixtures"),
        some="test_resource_validation_run_starts_job",
    ),
    # On CKAN 2.12 the datastore changes the resource, too: another job is there already.
    "downloadall": Suite(
        ("test_plugin", "test_action"), "", {"2.12": 10, "2.11": 11}, some="TestNotify"
    ),
    # Its queues are its own, and become jobs likewise.
    "harvest": Suite(
        ("test_queue", "test_queue2", "test_timeouts"),
        "harvest ckan_harvester test_harvester test_harvester2 test_action_harvester",
        {"2.12": 12, "2.11": 12},
        {"ckan.harvest.mq.type": "redis", "ckan.harvest.timeout": "5"},
        about_redis=frozenset(
            ("test_redis_queue_purging", "test_resubmit_objects", "test_redis_corrupt")
        ),
        some="test_01_basic_harvester",
    ),
}
