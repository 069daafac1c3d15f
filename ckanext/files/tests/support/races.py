"""Let threads do things at once, each with a session of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from ckan import model

from ckanext.files.filekeeper.locations import wait_for_location
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.waiting import wait_for_a_lock


def race(app: Any, calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Call all of them at the same moment.

    :param app: CKAN's test application, for the contexts of the threads.
    :returns: what each has returned, or the exception that it has raised.
    """
    outcomes: list[Any] = [None] * len(calls)
    start = threading.Barrier(len(calls))

    def run(number: int) -> None:
        with app.flask_app.test_request_context():
            try:
                start.wait(30)
                outcomes[number] = calls[number]()
            except Exception as error:
                outcomes[number] = error
            finally:
                model.Session.remove()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "a thread waits for ever"
    return outcomes


@contextmanager
def waiting(call: Callable[[], Any]) -> Iterator[Future[Any]]:
    """Call something in another session, which waits for a lock until the block ends."""

    def run() -> Any:
        try:
            result = call()
            model.Session.commit()
            return result
        finally:
            model.Session.remove()

    with ThreadPoolExecutor(1) as thread:
        waits = thread.submit(run)
        try:
            wait_for_a_lock()
            yield waits
        finally:
            model.Session.rollback()  # if the block has failed, it has left the lock


@contextmanager
def busy_location(storage: str, location: str) -> Iterator[None]:
    """Keep a location locked, as a transaction does that stores bytes."""
    with engine().begin() as connection:
        wait_for_location(connection, storage, location)
        yield
