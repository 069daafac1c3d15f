"""Publishers: a message is a job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from .stage import Stage, by_routing_key

_collected: ContextVar[list[tuple[Stage, str]] | None] = ContextVar(
    "ckanext.files.harvest", default=None
)


class Publisher:
    """Stands in for a publisher of ckanext-harvest."""

    def __init__(self, routing_key: str) -> None:
        self.routing_key = routing_key
        self._stage = by_routing_key(routing_key)

    def send(self, body: Mapping[str, Any], **_options: Any) -> None:
        """Let a stage work on what a message is about.

        :raises HarvestQueueError: the message is one of another stage.
        """
        about = self._stage.about(body)
        if (waiting := _collected.get()) is not None:
            waiting.append((self._stage, about))
        else:
            self._stage.put(about)

    def close(self) -> None:
        """Do nothing: there is no connection."""


@contextmanager
def collected() -> Iterator[list[tuple[Stage, str]]]:
    """Keep what is sent within, for the caller to write."""
    waiting: list[tuple[Stage, str]] = []
    token = _collected.set(waiting)
    try:
        yield waiting
    finally:
        _collected.reset(token)
