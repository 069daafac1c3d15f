"""The search itself.

PostgreSQL can estimate neither how many files some owners have together, nor where these are in an
order. So a search takes one of several ways of :class:`.page.Page`:

1. Where only the owners decide what is found: the first files of the order, if they fill the page.
   With words or a format the count needs the second way anyhow.
2. Else it collects the files up to a limit: all that match, or the ids of the owners' files. The
   limit is higher for one owner, whose files may all be old. Where no owner is named, many files
   are spread over the order.
3. If there are more, it goes along the order until it has enough.

Another limit ends the count that people see: to count a hundred thousand files takes longer than
the rest of a page, and no person needs the number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from ckanext.files.store import FileDescription, describe_files
from ckanext.files.store.models import flush_files

from .page import Page
from .query import Query
from .scope import ScopeConditions

MOST_COUNTED = 10_000
"""Up to this number, the count of a search is exact."""

_MOST_COLLECTED = 50_000
"""The most files of an owner that a search collects: that takes tens of milliseconds."""

_MOST_ASKED = 1000
"""How many files a search looks at when it has to ask for each whether the visitor may see it."""


class Found(NamedTuple):
    """One page of the files that a search has found."""

    ids: list[str]

    number: int
    """The number of files on all pages."""

    is_exact: bool
    """There are no more than ``number`` files."""


def search(
    session: Session,
    owned: ScopeConditions,
    query: Query,
    start: int,
    rows: int,
    may_see: Callable[[FileDescription], bool] | None = None,
) -> Found:
    """Find files.

    :param owned: the conditions of a :class:`.scope.Scope`.
    :param may_see: what it refuses is in neither page nor count. Where it is given, the search
        looks at the first thousand files only.
    """
    flush_files(session)
    if may_see is None:
        return _search(session, Page(owned, query, start, rows))
    found = _search(session, Page(owned, query, 0, _MOST_ASKED))
    files = describe_files(session, found.ids)
    seen = [id_ for id_ in found.ids if id_ in files and may_see(files[id_])]
    return Found(seen[start : start + rows], len(seen), found.number <= _MOST_ASKED)


def _search(session: Session, page: Page) -> Found:
    ids = None
    if page.depends_on_owners_only and page.query.sort.is_by_owner:
        ids = _ids(session, page.along_owners())
    elif page.depends_on_owners_only:
        ids = page_at_beginning(session, page)
    if ids is None:
        ids, number = page_of_collected(session, page)
    else:
        number = session.execute(page.count_owned(MOST_COUNTED)).scalar() or 0
        # others may have deleted files between the two statements
        number = max(number, page.start + len(ids)) if ids else number
    return Found(list(ids), min(number, MOST_COUNTED), number <= MOST_COUNTED)


def page_at_beginning(session: Session, page: Page) -> Sequence[str] | None:
    """Return the ids on a page if the first files of the order fill it.

    An index has to have the order: it is not by owner.
    """
    if not page.may_be_at_beginning:
        return None
    ids = _ids(session, page.at_beginning())
    return ids if len(ids) == page.rows else None


def page_of_collected(session: Session, page: Page) -> tuple[Sequence[str], int]:
    """Return the ids on a page, and the number of files, as far as it is counted."""
    most = MOST_COUNTED if page.owned.is_of_any else _MOST_COLLECTED
    number, ids = session.execute(page.collected(most)).one()
    return _ids(session, page.along_order()) if ids is None else ids, number


def _ids(session: Session, statement: Any) -> Sequence[str]:
    return session.execute(statement).scalars().all()
