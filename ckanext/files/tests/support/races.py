"""Let several threads do things at once, each with a session of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from ckan import model


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
