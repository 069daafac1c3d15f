"""A server that asks for a job at each change of a dataset, and can be killed by one."""

from __future__ import annotations

from typing import Any

from ckanext.files.shared import add_task, on_commit
from ckanext.files.tests.support.crash import kill_now
from ckanext.files.tests.support.probe_plugin import ProbePlugin
from ckanext.files.tests.support.sample import write


def ask_at_each_update() -> None:
    """Have the plugin ``files_test_probe`` of this process ask."""
    ProbePlugin.hooks["before:package_update"] = _ask


def _ask(context: Any, data_dict: dict[str, Any]) -> None:
    """Ask for a job whose effect is named after the change."""
    write.delay(f"{data_dict['id']}-{data_dict['title']}")
    if data_dict["notes"] == "killed in the action":
        kill_now()
    if data_dict["notes"] == "killed in a queued task":
        add_task(kill_now)
    if data_dict["notes"] == "killed after the commit":
        on_commit(kill_now)
