"""One COMMIT for a block of CKAN code.

CKAN's actions commit wherever they like. Within a :class:`Block` that *holds*,
every commit of the thread's session becomes a savepoint. What must not happen
before the commit (writes into the search index, ``on_commit`` callbacks, CKAN's
notifications) waits. One real COMMIT at the end of the outermost block makes
all of it true. After a failure nothing of it stays.

A block changes nothing until code in it asks for the hold.

The commit does not cover files that are written to a storage, jobs in Redis,
requests to other sites, and SQL that ends the transaction without the session
(``session.execute("COMMIT")``). Use :func:`on_commit` for what has to wait.

This package knows neither tasks nor files.
"""

from .block import Block, after_commit, current_block, on_commit, on_rollback, request_commit
from .commit_requests import are_open as is_commit_requested

__all__ = [
    "Block",
    "after_commit",
    "current_block",
    "is_commit_requested",
    "on_commit",
    "on_rollback",
    "request_commit",
]
