"""CKAN's own tests of jobs, of the release that runs."""

from ckan.tests.cli.test_jobs import (
    TestJobsCancel,
    TestJobsClear,
    TestJobsList,
    TestJobsTest,
    TestJobsWorker,
    test_unknown_command,
)
from ckan.tests.cli.test_jobs import TestJobShow as TestJobsShow
from ckan.tests.lib.test_jobs import (
    TestDictizeJob,
    TestEnqueue,
    TestGetAllQueues,
    TestGetQueue,
    TestJobFromID,
    TestQueueNamePrefixes,
    TestWorker,
)
from ckan.tests.logic.action.test_delete import TestJobCancel, TestJobClear
from ckan.tests.logic.action.test_get import TestJobList, TestJobShow

__all__ = [
    "TestDictizeJob",
    "TestEnqueue",
    "TestGetAllQueues",
    "TestGetQueue",
    "TestJobCancel",
    "TestJobClear",
    "TestJobFromID",
    "TestJobList",
    "TestJobShow",
    "TestJobsCancel",
    "TestJobsClear",
    "TestJobsList",
    "TestJobsShow",
    "TestJobsTest",
    "TestJobsWorker",
    "TestQueueNamePrefixes",
    "TestWorker",
    "test_unknown_command",
]
