"""Give files to what names them already, for a field that had no validator before.

The rules are those of the validator, as far as there is anybody to apply them
to. Files move in batches, each with a commit of its own, so that a portal goes
on working meanwhile; what was given is theirs when it is run again.
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
    Wish,
    judge,
    scope_of,
    transfer_together,
)
from ckanext.files.store import FileRecord, Owner, read

from .claim_permissions import ClaimPermissions
from .stored_field import Mention, Page, StoredField

_ATTEMPTS = 5


class Refused(NamedTuple):
    """A file that does not go to what names it."""

    file_id: str
    where: str
    reason: str


@dataclasses.dataclass
class ClaimReport:
    """What has become of the files that a field names."""

    given: set[str] = dataclasses.field(default_factory=set)
    theirs: set[str] = dataclasses.field(default_factory=set)
    """That were theirs before."""

    refused: list[Refused] = dataclasses.field(default_factory=list)


class Claiming:
    """One run over all that has a field.

    :param pin: let the owners keep the files.
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
        self._givers = ClaimPermissions(session, trust_sysadmins=trust_sysadmins)
        self._several: set[str] = set()
        self._report = ClaimReport()

    def count(self) -> int:
        """Return how much there is to do: all is looked at twice."""
        return 2 * self._field.count(self._session)

    def run(self, progress: Callable[[int], Any]) -> ClaimReport:
        """Give the files away, and commit.

        :param progress: called with how much more has been done.
        """
        self._several = self._named_by_several(progress)
        after = ""
        while (page := self._claim_page(after)).size:
            progress(page.size)
            after = page.last
        return self._report

    def _named_by_several(self, progress: Callable[[int], Any]) -> set[str]:
        # there may be millions, and their owners' ids would take as much memory as theirs
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
                # an action has locked the same in another order, and PostgreSQL chose to end this
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
        return page, _Batch(self._session, page.mentions, self._several, self._givers)

    def _transfer(self, batch: _Batch) -> bool:
        """Tell whether it is done; if not, a file has got another owner meanwhile."""
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
        """End the transaction; what was read would fill the memory, and grow old."""
        self._session.rollback()
        self._session.expunge_all()


class _Batch:
    """The files that some of the datasets name, and what was decided about each."""

    def __init__(
        self, session: Session, mentions: list[Mention], several: set[str], givers: ClaimPermissions
    ) -> None:
        self.given: set[str] = set()
        self.theirs: set[str] = set()
        self.refused: list[Refused] = []
        self._session = session
        self._several = several
        self._givers = givers
        self._files = read(session, {mention.file_id for mention in mentions if mention.is_id})
        self._accepted: dict[str, Mention] = {}
        for mention in mentions:
            self._decide(mention)

    def transfer(self, *, pin: bool) -> None:
        """Give away what may go.

        :raises TransferRefusedError: somebody was faster. The transaction has to
            be rolled back.
        """
        wishes = {id_: Wish(mention.owner, pin) for id_, mention in self._accepted.items()}

        def judge_file(file_id: str, file: FileRecord | None) -> Refusal | None:
            mention = self._accepted[file_id]
            # what is not as it was when it was decided has to be decided anew
            return judge(file, mention.owner, self._home(mention), self._is_as_it_was)

        actor = tk.config["ckan.site_id"]
        transfer_together(self._session, wishes, self._files, judge_file, actor)

    def refuse_all(self) -> None:
        """Say of all files that were to go that it did not come to it."""
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
            return f"belongs to {owner.type} {owner.id}, which keeps it"
        if file.id in self._several:
            return "is named by several, and can belong to one only"
        if owner is None or owner in self._home(mention):
            return None
        if owner.type != "user":
            return f"belongs to {owner.type} {owner.id}"
        return self._givers.objection(owner.id, mention.owner)

    def _is_as_it_was(self, file: FileRecord) -> bool:
        return file == self._files.get(file.id)

    def _home(self, mention: Mention) -> Any:
        id_ = mention.dataset_id
        return scope_of(self._session, Owner("package", id_) if id_ else mention.owner)
