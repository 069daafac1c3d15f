"""Waiting for something to happen, however slow the machine is at that moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ckanext.files.tests.support.effects import look

_OTHERS = """
    SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                   AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND {})
"""


def wait_for(answer: Callable[[], Any], seconds: float = 60) -> Any:
    """Ask again and again until the answer is true; return it.

    :raises AssertionError: it was not in that time.
    """
    end, pause = time.monotonic() + seconds, 0.01
    while not (found := answer()):
        assert time.monotonic() < end, f"waited {seconds} seconds in vain"
        time.sleep(pause)
        pause = min(1.1 * pause, 0.05)  # questions slow down what it waits for
    return found


def wait_for_a_lock() -> None:
    """Wait until a session waits for a lock in the database of the tests."""
    wait_for(lambda: look(_OTHERS.format("wait_event_type = 'Lock'")))


def wait_for_the_dead() -> None:
    """Wait until PostgreSQL has noticed that processes were killed, and all sessions are idle."""
    wait_for(lambda: not look(_OTHERS.format("state <> 'idle'")))
