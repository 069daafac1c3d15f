"""A message, as ckanext-harvest's callbacks get it from its own consumers."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from ckanext.harvest import queue as harvest  # pyright: ignore[reportMissingImports]

from .errors import NotHarvestedError
from .stage import Stage


@dataclasses.dataclass
class _Channel:
    """Where a callback of ckanext-harvest acknowledges a message."""

    acknowledged: bool = False

    def basic_ack(self, _message: Any) -> None:
        self.acknowledged = True


def deliver(stage: Stage, about: str, callback: Callable[..., Any]) -> None:
    """Give a message to a callback of ckanext-harvest.

    :param callback: takes channel, method, header and body.
    :raises NotHarvestedError: the callback has not acknowledged it.
    """
    body, channel = json.dumps({stage.message_key: about}), _Channel()
    callback(channel, harvest.FakeMethod(body), None, body)
    if not channel.acknowledged:
        raise NotHarvestedError(
            f"ckanext-harvest could not {stage.name} {about}: its log has the error"
        )
