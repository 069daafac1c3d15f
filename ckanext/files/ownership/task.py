"""The task that gives the files of one action to their new owners."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ckan import model

from ckanext.files.store import FileRecord

from .arrivals import Arrivals
from .claim import Claim
from .editor import Editor
from .refusals import Refusal
from .results import completed
from .rule import judge
from .transfer import TransferRefusedError, transfer_together


class OwnershipTransferTask:
    """Moves all files that an action has claimed, together.

    Runs inside the action after it succeeded. Whatever it finds wrong is an
    error of the field that named the file, and undoes the action.
    """

    def __init__(self, action: str, claims: Mapping[str, Claim], editor: Editor) -> None:
        self._action = action
        self._claims = claims
        self._editor = editor

    def __call__(self, result: Any, idx: int, prev: Any) -> list[str]:
        """Return the ids of the files that have another owner now."""
        result = completed(result, self._action, self._editor.name)
        arrivals = Arrivals(result, self._claims, self._editor)
        arrivals.problems.check()

        def judge_file(file_id: str, file: FileRecord | None) -> Refusal | None:
            target, home = arrivals.wishes[file_id].owner, self._claims[file_id].place.home
            refusal = judge(file, target, home, self._editor.may_edit)
            if refusal is None and file is not None and arrivals.is_left_behind(file):
                return Refusal.TWICE
            return refusal

        files = {file_id: claim.file for file_id, claim in self._claims.items()}
        try:
            return transfer_together(
                model.Session(), arrivals.wishes, files, judge_file, self._editor.name
            )
        except TransferRefusedError as error:
            for file_id, refusal in error.refusals.items():
                arrivals.refuse(file_id, refusal)
            arrivals.problems.check()
            raise
