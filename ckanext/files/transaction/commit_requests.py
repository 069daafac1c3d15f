"""Requests for a commit, and an error in the log when no commit comes.

A job or a callback depends on a commit. A frame makes that commit itself.
Elsewhere the code has to commit; code that forgets it would lose the job
without a trace. So each request is kept with the line of code that made it. A
commit fulfils a request, and a rollback withdraws it. A session that ends in
any other way (``close()``, ``remove()``, the end of its thread or of the
process) logs the open requests.
"""

from __future__ import annotations

import logging
import sys
import weakref
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from sqlalchemy.orm import Session

from .savepoints import Held

log = logging.getLogger(__name__)

_KEY = "ckanext.files.commit_requests"


class CommitRequest(NamedTuple):
    """Something that happens only if a commit comes."""

    what: str
    """Such as ``The job of task 'greet'``."""

    path: str
    line: int
    """The line of code that asked for it."""


def remember(session: Session, what: str, packages: Collection[str]) -> CommitRequest:
    """Add a request for the session's commit.

    :param packages: modules and packages whose code passes the request on; the request names
        the line of their caller.
    """
    request = CommitRequest(what, *_caller(tuple(packages)))
    _open(session).append(request)
    return request


def are_open(session: Session) -> bool:
    """Return whether the session has open requests."""
    return bool(session.info.get(_KEY))


def settle(session: Session, requests: Iterable[CommitRequest]) -> None:
    """Remove requests that a commit has fulfilled, or a rollback has withdrawn."""
    left: list[CommitRequest] = session.info.get(_KEY) or []
    for request in requests:
        if request in left:
            left.remove(request)


def settle_all(session: Session) -> None:
    """Remove all requests of a session whose caller gets an error."""
    _open(session).clear()


def report(session: Session, requests: Iterable[CommitRequest]) -> None:
    """Log the requests that are still open, and remove them."""
    left: list[CommitRequest] = session.info.get(_KEY) or []
    lost = [request for request in requests if request in left]
    settle(session, lost)
    _log(lost)


def _open(session: Session) -> list[CommitRequest]:
    if _KEY not in session.info:
        left: list[CommitRequest] = []
        session.info[_KEY] = left
        weakref.finalize(
            session, _log_rest, weakref.ref(session), left
        )  # also when the process ends
    return session.info[_KEY]


def _log_rest(session: Callable[[], Session | None], left: Sequence[CommitRequest]) -> None:
    """Log what is left at the end of a session.

    A process that ends within a hold undoes the block as a kill does, such as a worker
    that hands a step back: the code in the block has made no mistake.
    """
    if not isinstance(session(), Held):
        _log(left)


def _log(requests: Iterable[CommitRequest]) -> None:
    for request in requests:
        log.error(
            "%s is lost: %s:%d asked for it, and the session has ended without a commit. Commit "
            "the session there, or ask within an action that carries a task queue.",
            *request,
        )


def _caller(packages: tuple[str, ...]) -> tuple[str, int]:
    frame = sys._getframe(2)  # noqa: SLF001 - as warnings.warn() finds its caller
    while frame.f_back and _is_within(frame.f_globals.get("__name__", ""), packages):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def _is_within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)
