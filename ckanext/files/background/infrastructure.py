"""Errors of what CKAN itself needs: PostgreSQL, Solr, Redis.

They say nothing of the task that got them. Its step runs again after a pause,
and that is no try of the task. What goes on for longer fails as usual.

Other servers, and storages of files, are the task's own: the type of an error
does not tell whether CKAN's storage or any other address was meant. There
``@task(retry=...)`` decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg2
import redis
from ckan.lib.search.common import SearchError, SearchIndexError, SolrConnectionError
from psycopg2 import InterfaceError, OperationalError
from pysolr import SolrError
from sqlalchemy.exc import DBAPIError

MOST_PAUSES = 15
"""Of a step, one after the other: some ten minutes."""

_LONGEST_PAUSE = 60
"""Seconds; the first one is a second, and each is twice as long as the one before."""

_SEARCH = (SearchError, SearchIndexError, SolrError)

# CKAN and pysolr tell it by words only
_NO_ANSWER = re.compile(
    r"Failed to connect to server|Connection to server|Could not connect to Solr"
    r"|Unhandled error: |HTTP 50[234]"
)

_UNREACHABLE = ("08", "53300", "57P01", "57P02", "57P03")
"""PostgreSQL's codes for lost connections, too many of them, and a server that stops or starts."""


def pause_after(error: BaseException, pauses: int) -> int | None:
    """Return the seconds to wait until the step runs again; None if the error is the task's.

    :param pauses: how many the step had before.
    """
    if pauses >= MOST_PAUSES or culprit(error) is None:
        return None
    return min(2**pauses, _LONGEST_PAUSE)


def culprit(error: BaseException) -> str | None:
    """Return the name of the service that could not be reached, if that is what the error tells."""
    if isinstance(error, SolrConnectionError):
        return "Solr"
    if isinstance(error, _SEARCH) and _NO_ANSWER.search(str(error)):
        return "Solr"
    if isinstance(error, (redis.ConnectionError, redis.TimeoutError)):
        return "Redis"
    if _is_of_a_lost_connection(error):
        return "PostgreSQL"
    return None


def pgcodes(error: BaseException) -> Iterator[str]:
    """Yield PostgreSQL's codes of an error, and of those that have led to it."""
    cause: BaseException | None = error
    seen: list[BaseException] = []
    while cause is not None and not any(cause is each for each in seen):
        if isinstance(cause, psycopg2.Error) and cause.pgcode:
            yield cause.pgcode
        seen.append(cause)
        cause = cause.__cause__ or cause.__context__


def _is_of_a_lost_connection(error: BaseException | None) -> bool:
    """Tell whether it is of a database; the worker looks after the session's own by itself."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or _is_of_a_lost_connection(error.orig)
    if not isinstance(error, (OperationalError, InterfaceError)):
        return False
    # without a code it is not the server that has told it
    return error.pgcode is None or error.pgcode.startswith(_UNREACHABLE)
