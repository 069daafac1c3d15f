"""What a task says of its progress is that of its part, when it runs in a chain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ckanext.files.background import chain, record
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.background import sample
from ckanext.files.tests.effects import Effects
from ckanext.files.tests.loaded import load_plugins

loaded = load_plugins("files", "files_background")


@pytest.mark.parametrize(
    ("nested", "expected"),
    [(False, [50, 75, 100]), (True, [50, 62.5, 75])],
    ids=["plain", "nested"],
)
def test_progress(
    nested: bool, expected: list[float], tasks: TasksManager, effects: Effects, unique: Any
) -> None:
    name = unique("job")
    told = sample.note_progress(name, [0, 50, 100])
    job = chain.delay([sample.noop(), chain([told, sample.noop()]) if nested else told])
    tasks.run_pending_jobs()
    for percent in expected:
        assert effects.exists(f"{name}-{percent:g}")
    shown = record.find(job.id)
    assert shown
    assert (shown.status, shown.percent) == ("succeeded", 100)


def test_step_that_goes_on(
    define: Callable[..., Any], tasks: TasksManager, caplog: pytest.LogCaptureFixture
) -> None:
    """What it has told lasts, also where it tells no more; then its part is done."""
    module = define("""
        @task
        def count(left):
            if left > 1:
                set_progress(100 - 25 * left)
            return count(left - 1) if left else None
    """)
    job = chain.delay([chain([module.count(3)]), sample.noop()])
    percents: list[float | None] = []
    while tasks.run_pending_jobs(most=1).steps:
        shown = record.find(job.id)
        assert shown
        percents.append(shown.percent)
    assert percents == [12.5, 25, 25, 50, 100]
    assert "is not known" not in caplog.text


def test_alone(tasks: TasksManager, effects: Effects, unique: Any) -> None:
    name = unique("job")
    sample.note_progress.delay(name, [12.5])
    tasks.run_pending_jobs()
    assert effects.exists(f"{name}-12.5")
