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
    for line in _lines(file, offset):
        level = _level(line, is_first=offset == 0)
        offset += len(line)
        if level is None:
            continue
        lines += 1
        highest = max(highest, level)
        if lines % REPORT_EACH == 0:
            set_progress(_percent(file_id, offset, size), f"{lines} levels read")
    found = f"{lines} levels read, the highest is {highest}"
    set_progress(_percent(file_id, offset, size), found)
    return read_levels(file_id, offset, size, lines, highest) if offset < size else highest


def _lines(file: dict[str, Any], offset: int) -> list[bytes]:
    """Return the whole lines of the next bytes of a file, with their ends."""
    data = FileData(Location(file["location"]), size=file["size"])
    chunks = get_storage(file["storage"]).range_synthetic(data, offset, offset + STEP_BYTES)
    part = b"".join(chunks)
    if not part:
        return []
    *lines, last = part.splitlines(keepends=True)
    is_end = offset + len(part) >= file["size"]
    # of one long line, what there is
    return [*lines, last] if is_end or last.endswith(b"\n") or not lines else lines


def _level(line: bytes, *, is_first: bool) -> int | None:
    """Return the level of a line; None for the heading and for blank lines.

    :raises ValueError: the line has none.
    """
    text = line.decode(errors="replace").strip()
    try:
        _, level = text.split(",")
        return int(level)
    except ValueError:
        if is_first or not text:
            return None
        raise ValueError(
            f"This line has no day and level, such as 2026-05-01,412: {text[:80]}"
        ) from None


def demo_inspect(
    key: FlattenKey, data: FlattenDataDict, errors: FlattenErrorDict, context: Context
) -> None:
    """Ask for the inspection of a file that the dataset did not name before (validator)."""
    package: Any = context.get("package")
    before = package.extras.get(key[-1]) if package else None
    if data[key] and data[key] != before:
        chain.delay([read_levels(data[key]), verify_upload(data[key])])
