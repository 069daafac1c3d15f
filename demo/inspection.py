"""Background tasks: a table of measurements is read, and its file verified, after the commit.

The validator of the field ``measurements`` asks for the job. It is written by the
commit of the dataset, or not at all. The job goes through the table some bytes
a step: each step is a commit, after which a worker could go on anywhere.
"""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
from ckan.types import Context, FlattenDataDict, FlattenErrorDict, FlattenKey

from ckanext.files.background import chain, set_progress, task
from ckanext.files.maintenance.tasks import verify_upload
from ckanext.files.store.storages import FileData, Location, get_storage

STEP_BYTES = 2 * 2**20
REPORT_EACH = 20_000
"""Lines after which a step reports its progress."""


def _percent(file_id: str, offset: int = 0, size: int = 0, **found: int) -> float:
    return 100 * offset / size if size else 0


@task(percent=_percent)
def read_levels(
    file_id: str, offset: int = 0, size: int = 0, lines: int = 0, highest: int = 0
) -> Any:
    """Count the levels of a table, and find the highest one.

    :param offset: where this step begins; the others are what those before have found.
    """
    file = tk.get_action("file_show")({"ignore_auth": True}, {"id": file_id})
    size = file["size"]
    for day, level in _levels(file, offset):
        lines += 1
        highest = max(highest, int(level))
        offset += len(day) + len(level) + 2
        if lines % REPORT_EACH == 0:
            set_progress(100 * offset / size, f"{lines} levels read")
    set_progress(100 * offset / size, f"{lines} levels read, the highest is {highest}")
    return read_levels(file_id, offset, size, lines, highest) if offset < size else highest


def _levels(file: dict[str, Any], offset: int) -> list[list[str]]:
    """Return the whole lines of the next bytes of a file."""
    data = FileData(Location(file["location"]), size=file["size"])
    chunks = get_storage(file["storage"]).range_synthetic(data, offset, offset + STEP_BYTES)
    text = b"".join(chunks).decode()
    return [line.split(",") for line in text[: text.rindex("\n")].split("\n")]


def demo_inspect(
    key: FlattenKey, data: FlattenDataDict, errors: FlattenErrorDict, context: Context
) -> None:
    """Ask for the inspection of a file that the dataset did not name before (validator)."""
    package: Any = context.get("package")
    before = package.extras.get(key[-1]) if package else None
    if data[key] and data[key] != before:
        chain.delay([read_levels(data[key]), verify_upload(data[key])])
