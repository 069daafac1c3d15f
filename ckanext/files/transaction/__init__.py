"""One COMMIT for a block of CKAN code.

CKAN's actions commit wherever they like. Within a :class:`Block` that *holds*,
every commit of the thread's session becomes a savepoint, everything that must
not happen before the commit (search index, ``on_commit`` callbacks, CKAN's
notifications) is kept back, and one real COMMIT at the end of the outermost
block makes all of it true. A failure leaves nothing of it.

A block does nothing at all until something in it asks for the hold.

Not covered, by nature: files written to a storage, jobs put into Redis,
requests sent elsewhere, and SQL that ends the transaction past the session
(``session.execute("COMMIT")``). Use :func:`on_commit` for what has to wait.

This package knows neither tasks nor files.
"""

from .block import Block, after_commit, current_block, on_commit, on_rollback, require_commit
from .commit_requests import are_open as is_commit_required

__all__ = [
    "Block",
    "after_commit",
    "current_block",
    "is_commit_required",
    "on_commit",
    "on_rollback",
    "require_commit",
]
