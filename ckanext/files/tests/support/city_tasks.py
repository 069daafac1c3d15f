"""Tasks of a city's portal, as the pictures of the documentation show them."""

from __future__ import annotations

from ckanext.files.background import set_progress, task
from ckanext.files.tests.support.sample import effect
from ckanext.files.tests.support.worker_tasks import hold, wait_until_let_go

ROWS = 20_000
"""Of each table."""


@task(name="cityportal.tables.check")
def check(table: str) -> None:
    """Check the rows, and wait for the test at three of them, see ``jobs.let_go``."""
    for percent in (25, 50, 75):
        set_progress(percent, checked(table, percent))
        wait_until_let_go(f"{table}-{percent}")


def checked(table: str, percent: int) -> str:
    """Return the progress of :func:`check`."""
    return f"{table}: row {percent * ROWS // 100} of {ROWS}"


@task(name="cityportal.tables.load")
def load(table: str) -> None:
    """Fail."""
    raise ValueError(f"{table}: row 12 has no number")


@task(name="cityportal.maps.draw")
def draw(name: str) -> None:
    """Write that it has begun, and end when the test lets it go."""
    hold.function(name)


@task(name="cityportal.maps.publish")
def publish(name: str) -> None:
    effect(name)
