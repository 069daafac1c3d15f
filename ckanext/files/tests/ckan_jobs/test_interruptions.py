"""No job is lost and none is too much when the one who asks is interrupted before the commit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ckan.tests import factories

from ckanext.files.tests.support.interrupted import (
    Attempts,
    Findings,
    Way,
    alone,
    before_commit,
    cut,
    examine,
    in_frame,
    in_session,
    killed,
    make,
    naively_after,
    naively_again,
    naively_before,
)
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.support.workers import CKANS, Worker, Workers

pytestmark = [pytest.mark.crash, pytest.mark.usefixtures("effects")]


@pytest.fixture
def worker(app: Any, ini: Path, tmp_path: Path) -> Iterator[Worker]:
    """A worker that was not started."""
    workers = Workers(tmp_path, ini, app, CKANS)
    yield workers.prepare(jobs__max_jobs=0)
    workers.stop()


SIZES = {killed: (10, 150), cut: (40, 2350)}
"""How many are interrupted, and how many at full size: 10,000 in four ways."""


@pytest.mark.parametrize("how", SIZES)
@pytest.mark.parametrize("way", [in_frame, before_commit, in_session, alone])
def test_change_and_job_are_one(
    way: Way, how: Any, name: str, worker: Worker, full_size: bool, record_property: Any
) -> None:
    factories.Dataset()
    if way is alone:  # what it repeats may have begun
        worker.start()
    attempts = make(way, how, name, SIZES[how][full_size])
    for each in attempts._fields:
        record_property(each, len(getattr(attempts, each)))
    assert examine(way, attempts, name) == Findings(set(), set(), set(), set())
    if way is alone and attempts.returned:  # on a slow machine each kill may come too early
        wait_for(lambda: "starts job" in worker.said)


def test_naive_ways(name: str, record_property: Any) -> None:
    """The negative control: the same examination finds what is lost, and what is too much."""
    before = make(naively_before, killed, name, 10)
    after = make(naively_after, killed, name, 10)
    found = examine(naively_before, before, name), examine(naively_after, after, name)
    record_property("findings", found)
    assert found[0].phantom
    assert found[1].lost


def test_naive_repetition(name: str) -> None:
    """And what is doubled."""
    twice = f"{name}-{naively_again.__name__}-1"
    naively_again(twice, lambda: None)
    assert examine(naively_again, Attempts(set(), set()), name).doubled == {twice}
