"""Giving files to the datasets, resources and so on that name them already.

For a field that gets a validator when it has values. The rules are the
validator's rules, except that no user makes a request: see
:mod:`.claim_permissions`. A claim commits after each batch, so the portal stays
in use; a second run finds the given files at their owners.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ckan.plugins import toolkit as tk
from psycopg2.errors import DeadlockDetected, SerializationFailure
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from ckanext.files.ownership import (
    Refusal,
    TransferRefusedError,
    refusal_for,
    scope_of,
    transfer_together,
)
from ckanext.files.store import FileRecord, Owner, OwnerChange, read_files

from .claim_permissions import ClaimPermissions
from .stored_field import Mention, Page, StoredField

_ATTEMPTS = 5


class Refused(NamedTuple):
    """A file that is not given to the entity that names it."""

    file_id: str
    where: str
    reason: str


@dataclasses.dataclass
class ClaimReport:
    """The files that a field names."""

    given: set[str] = dataclasses.field(default_factory=set)
    theirs: set[str] = dataclasses.field(default_factory=set)
    """Files that the entity owned before."""

    refused: list[Refused] = dataclasses.field(default_factory=list)


class Claiming:
    """One run over all entities that have a field.

    :param pin: pin the files.
    :param trust_sysadmins: see :class:`.claim_permissions.ClaimPermissions`.
    :param dry_run: change nothing.
    """

    def __init__(
        self,
        session: Session,
        field: StoredField,
        *,
        pin: bool = True,
        trust_sysadmins: bool = False,
        dry_run: bool = False,
    ) -> None:
        self._session = session
        self._field = field
        self._pin = pin
        self._dry_run = dry_run
        self._permissions = ClaimPermissions(session, trust_sysadmins=trust_sysadmins)
        self._several: set[str] = set()
        self._report = ClaimReport()

    def count(self) -> int:
        """Return the amount of work: the run reads each entity twice."""
        return 2 * self._field.count(self._session)

    def run(self, progress: Callable[[int], Any]) -> ClaimReport:
        """Give the files to the entities, and commit.

        :param progress: called with the number of entities that were read.
        """
        self._several = self._named_by_several(progress)
        after = ""
        while (page := self._claim_page(after)).size:
            progress(page.size)
            after = page.last
        return self._report

    def _named_by_several(self, progress: Callable[[int], Any]) -> set[str]:
        # hashes, because the ids of millions of owners would take too much memory
        first: dict[str, int] = {}
        several: set[str] = set()
        for page in self._pages():
            for mention in page.mentions:
                owner = hash(mention.owner)
                if first.setdefault(mention.file_id, owner) != owner:
                    several.add(mention.file_id)
            progress(page.size)
        return several

    def _pages(self) -> Iterator[Page]:
        page = self._field.page(self._session, "", lock=False)
        while page.size:
            yield page
            self._forget()
            page = self._field.page(self._session, page.last, lock=False)
        self._forget()

    def _claim_page(self, after: str) -> Page:
        for _ in range(_ATTEMPTS):
            try:
                page, batch = self._decide(after)
                if self._transfer(batch):
                    break
            except OperationalError as error:
                # an action has locked the same rows in another order, and PostgreSQL ended this
                if not isinstance(error.orig, (DeadlockDetected, SerializationFailure)):
                    raise
        else:
            page, batch = self._decide(after)
            batch.refuse_all()
        self._forget()
        self._add(batch)
        return page

    def _decide(self, after: str) -> tuple[Page, _Batch]:
        self._forget()
        page = self._field.page(self._session, after, lock=not self._dry_run)
        return page, _Batch(self._session, page.mentions, self._several, self._permissions)

    def _transfer(self, batch: _Batch) -> bool:
        """Return whether the batch is committed; if not, a file has changed meanwhile."""
        if self._dry_run:
            return True
        try:
            batch.transfer(pin=self._pin)
        except TransferRefusedError:
            return False
        self._session.commit()
        return True

    def _add(self, batch: _Batch) -> None:
        report = self._report
        report.refused += batch.refused
        report.theirs |= batch.theirs - report.given
        report.given |= batch.given

    def _forget(self) -> None:
        """End the transaction, and drop what the session has read, which would fill the memory."""
        self._session.rollback()
        self._session.expunge_all()


class _Batch:
    """The files that one page of entities names, and the decision about each."""

    def __init__(
        self,
        session: Session,
        mentions: list[Mention],
        several: set[str],
        permissions: ClaimPermissions,
    ) -> None:
        self.given: set[str] = set()
        self.theirs: set[str] = set()
        self.refused: list[Refused] = []
        self._session = session
        self._several = several
        self._permissions = permissions
        ids = {mention.file_id for mention in mentions if mention.is_id}
        self._files = read_files(session, ids)
        self._accepted: dict[str, Mention] = {}
        for mention in mentions:
            self._decide(mention)

    def transfer(self, *, pin: bool) -> None:
        """Give the accepted files to their new owners.

        :raises TransferRefusedError: a file has changed meanwhile. The caller must
            roll back the transaction.
        """
        changes = {id_: OwnerChange(mention.owner, pin) for id_, mention in self._accepted.items()}

        def refusal_of(file_id: str, file: FileRecord | None) -> Refusal | None:
            mention = self._accepted[file_id]
            # a file that has changed since the decision is decided again
            return refusal_for(file, mention.owner, self._scope(mention), self._is_unchanged)

        actor = tk.config["ckan.site_id"]
        transfer_together(self._session, self._files, changes, refusal_of, actor)

    def refuse_all(self) -> None:
        """Refuse all files that were accepted."""
        reason = "others were working with it: run the command again"
        self.refused += [Refused(m.file_id, m.where, reason) for m in self._accepted.values()]
        self.given, self.theirs = set(), set()

    def _decide(self, mention: Mention) -> None:
        file = self._files.get(mention.file_id)
        if file and file.owner == mention.owner:
            self.theirs.add(file.id)
        elif reason := self._objection(mention, file):
            self.refused.append(Refused(mention.file_id, mention.where, reason))
            return
        else:
            self.given.add(mention.file_id)
        self._accepted[mention.file_id] = mention

    def _objection(self, mention: Mention, file: FileRecord | None) -> str | None:
        if not mention.is_id:
            return "is not the id of a file"
        if file is None:
            return "does not exist"
        owner = file.owner
        if owner and file.pinned:
            return f"is pinned to {owner.type} {owner.id}"
        if file.id in self._several:
            return "is named by several, and can belong to one only"
        if owner is None or owner in self._scope(mention):
            return None
        if owner.type != "user":
            return f"belongs to {owner.type} {owner.id}"
        return self._permissions.objection(owner.id, mention.owner)

    def _is_unchanged(self, file: FileRecord) -> bool:
        return file == self._files.get(file.id)

    def _scope(self, mention: Mention) -> Any:
        id_ = mention.dataset_id
        return scope_of(self._session, Owner("package", id_) if id_ else mention.owner)
