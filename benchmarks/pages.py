"""Pages of CKAN, from the request to the answer, without a network."""

from __future__ import annotations

import time
from collections.abc import Callable

from werkzeug.test import Client

from .process import load, whole_app


def timed(call: Callable[[], object]) -> float:
    """Return how many milliseconds a call takes."""
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def get(path: str, token: str | None) -> None:
    """Ask for a page as the user of an API token, or as an anonymous visitor."""
    headers = {"Authorization": token} if token else {}
    # a context of its own: the request in which this is called has another user
    with load().app_context():
        answer = Client(whole_app()).get(path, headers=headers)
    assert answer.status_code == 200, (path, answer.status)
