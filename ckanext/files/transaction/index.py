"""The search index, kept back until the commit.

CKAN 2.12 writes to Solr before it commits, CKAN 2.11 while it commits. Within
a hold neither may happen early: a failing task would leave a document of
something that never was. So the writes wait in the journal, one for each
dataset, and run right before the real COMMIT. A document that Solr refuses
makes the commit fail.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ckan import model
from ckan.lib import search
from ckan.lib.search.index import PackageSearchIndex
from sqlalchemy.orm import Session

from .journal import Write, journal_of

log = logging.getLogger(__name__)

_KEY = "ckanext.files.index_kept_back"


def keep_back(session: Session) -> None:
    """From now on, what this session's thread indexes waits for its commit."""
    indices: Any = search._INDICES  # noqa: SLF001 - CKAN has no other place to say it
    current = indices["package"]
    if not issubclass(current, _KeptBackIndex):
        # another extension may have put an index class of its own there
        indices["package"] = type("KeptBackIndex", (_KeptBackIndex, current), {})
    session.info[_KEY] = True


def let_through(session: Session) -> None:
    """End of :func:`keep_back`."""
    session.info.pop(_KEY, None)


class _KeptBackIndex(PackageSearchIndex):
    """Put in front of CKAN's index class. Without a hold it changes nothing."""

    def index_package(self, pkg_dict: dict[str, Any] | None, defer_commit: bool = False) -> None:
        write = super().index_package
        if pkg_dict and _kept_back():
            # the caller goes on using its dict, and hands it to the tasks
            document = _copy(pkg_dict)
            _record(document["id"], lambda: write(document, defer_commit))
        else:
            write(pkg_dict, defer_commit)

    def delete_package(self, pkg_dict: dict[str, Any]) -> None:
        write = super().delete_package
        if _kept_back():
            reference = dict(pkg_dict)
            _record(reference["id"], lambda: write(reference))
        else:
            write(pkg_dict)


def _copy(value: Any) -> Any:
    """Copy what CKAN and its plugins change in place; ``deepcopy`` takes three times as long."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value


def _kept_back() -> bool:
    return _KEY in model.Session().info


def _record(package_id: str, run: Any) -> None:
    # while it runs, index_package may call delete_package of its own: not to be kept again
    def write() -> None:
        with _directly(model.Session()):
            run()

    entry = Write(run=write, repair=lambda: _repair(package_id))
    journal_of(model.Session()).add_write(f"package:{package_id}", entry)


@contextmanager
def _directly(session: Session) -> Iterator[None]:
    kept_back = session.info.pop(_KEY, None)
    try:
        yield
    finally:
        if kept_back:
            session.info[_KEY] = kept_back


def _repair(package_id: str) -> None:
    try:
        if model.Package.get(package_id):
            # one by its id, CKAN 2.11 deletes first: then the new document may be refused
            search.rebuild(package_ids=[package_id])
            search.commit()
        else:
            search.clear(package_id)
    except Exception:
        log.exception(
            "The search index may tell of a change of dataset %s that was not committed. "
            "Repair it with: ckan search-index rebuild %s",
            package_id,
            package_id,
        )
