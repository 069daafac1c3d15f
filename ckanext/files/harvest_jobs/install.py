"""Putting jobs under the queues of ckanext-harvest.

Its modules have imported some functions early, so what these look up in their module at
each call is replaced. Its own repeated sending, ``resubmit_jobs`` and ``resubmit_objects``,
does nothing with another type of queue than Redis.
"""

from __future__ import annotations

from typing import Any, NoReturn

from ckan.common import config
from ckanext.harvest import queue as harvest  # pyright: ignore[reportMissingImports]

from ckanext.files.background import queue_names

from .consumer import Consumer, purge_queues
from .errors import HarvestQueueError
from .options import ENABLED
from .publisher import Publisher
from .stage import FETCH, GATHER

_TYPE = "ckan.harvest.mq.type"
_OURS = "postgresql"

_QUEUES = {GATHER.queue, FETCH.queue}

_originals: dict[str, Any] = {}
_types = ["redis"]
"""What the configuration had last as the type of queue; a copy of ours may be restored there."""


def refuse(*_args: Any, **_kwargs: Any) -> NoReturn:
    """Stand in for connections to other queues.

    :raises HarvestQueueError: always.
    """
    raise HarvestQueueError(
        "The queues of ckanext-harvest are background jobs in PostgreSQL, and have no connection "
        "to Redis or RabbitMQ. Send with get_gather_publisher() or get_fetch_publisher() of "
        f"ckanext.harvest.queue, or keep its own queues: {ENABLED} = false"
    )


_STAND_INS: dict[str, Any] = {
    "get_publisher": Publisher,
    "get_consumer": Consumer,
    "purge_queues": purge_queues,
    **dict.fromkeys(
        (
            "get_connection",
            "get_connection_redis",
            "get_connection_amqp",
            "RedisPublisher",
            "RedisConsumer",
        ),
        refuse,
    ),
}


def install() -> None:
    """Let ckanext-harvest ask for jobs, until :func:`uninstall`.

    :raises HarvestQueueError: its module of queues is not the one that is known here.
    """
    missing = [name for name in _STAND_INS if not hasattr(harvest, name)]
    if missing:
        raise HarvestQueueError(
            f"This ckanext-harvest has other queues than release 1.6: {', '.join(missing)} is "
            f"missing in ckanext.harvest.queue. Keep its own queues: {ENABLED} = false"
        )
    if config[_TYPE] != _OURS:
        _types[:] = [config[_TYPE]]
        config[_TYPE] = _OURS
    queue_names.add(_QUEUES)
    if not _originals:
        for name, stand_in in _STAND_INS.items():
            _originals[name] = getattr(harvest, name)
            setattr(harvest, name, stand_in)


def uninstall() -> None:
    """Give ckanext-harvest back what it had."""
    queue_names.remove(_QUEUES)
    if _originals:
        config[_TYPE] = _types[0]
    while _originals:
        name, original = _originals.popitem()
        setattr(harvest, name, original)
