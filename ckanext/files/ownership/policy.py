"""The rule: which file may go to which owner, and why another file may not.

One function, called by the validator before anything is changed, and again by the transfer
when the rows of the files are locked.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Container
from typing import Any

from ckan import model
from ckan.plugins import toolkit as tk
from ckan.types import Context

from ckanext.files import form_request
from ckanext.files.store import FileRecord, Owner, describe_files, is_allowed


class Refusal(enum.Enum):
    """A reason for which a file does not go to a new owner."""

    UNKNOWN = enum.auto()
    """The file does not exist, or the user may not use it. The message does not reveal which."""

    PINNED = enum.auto()
    """The file is pinned to its owner. Only a user who may edit the file gets this answer."""

    TWICE = enum.auto()
    """Two fields name the file, and only one of their owners can have it."""

    TAKEN = enum.auto()
    """The file had no owner, and another transaction has just added one."""

    NO_OWNER = enum.auto()
    """The result of the action does not show which owner the file gets."""

    def message(self, file: str) -> str:
        """Return the sentence for a user.

        :param file: what the user calls the file: see :meth:`Actor.name_of`.
        """
        if self is Refusal.PINNED:
            sentence = tk._("File {file} is pinned to its owner")
        elif self is Refusal.TWICE:
            sentence = tk._("File {file} is named in two places, and can belong to one only")
        elif self is Refusal.TAKEN:
            sentence = tk._("File {file} has just been given to something else")
        elif self is Refusal.NO_OWNER:
            sentence = tk._(
                "File {file} cannot be saved here: it cannot be told what it would belong to"
            )
        else:
            sentence = tk._("File {file} does not exist, or you are not allowed to use it")
        return sentence.format(file=file)


def refusal_for(
    file: FileRecord | None,
    new_owner: Owner | None,
    scope: Container[Owner],
    may_edit: Callable[[FileRecord], bool],
    *,
    force: bool = False,
) -> Refusal | None:
    """Return why a file may not go to a new owner; None if it may.

    The right to update the new owner is not checked here: the action that saves the owner has
    checked it.

    :param file: None if it does not exist.
    :param new_owner: None if it has no id yet.
    :param scope: the owners within the dataset of the new owner. Files move freely among them.
    :param may_edit: returns whether the user may edit the file.
    :param force: move the file also if it is pinned. That takes the right to edit the
        file, even within the dataset.
    """
    if file is None:
        return Refusal.UNKNOWN
    is_free = file.owner is not None and (file.owner == new_owner or file.owner in scope)
    if is_free and not force:
        return None
    if not may_edit(file):
        return Refusal.UNKNOWN
    if file.pinned and not force:
        return Refusal.PINNED
    return None


class Actor:
    """The user who calls an action, and what CKAN's auth functions allow the user.

    Remembers the answers about files.
    """

    def __init__(self, context: Context) -> None:
        # the action goes on to write into its own context, on 2.11 even ignore_auth
        self.context = tk.fresh_context(context)
        self.name: str = context.get("user") or ""
        user: Any = context.get("auth_user_obj")
        if user is None and self.name:
            user = model.User.get(self.name)
        user_id: str | None = getattr(user, "id", None)
        self.as_owner = Owner("user", user_id) if user_id else None
        """None for a visitor, and for a script that names no user."""
        self._answers: dict[FileRecord, bool] = {}

    def may_edit(self, file: FileRecord) -> bool:
        """Return whether the user may edit a file, as it is in this record."""
        if file.owner is not None and file.owner == self.as_owner:
            return True
        if file not in self._answers:
            self._answers[file] = self.may("permission_edit_file", {"id": file.id})
        return self._answers[file]

    def name_of(self, file_id: str) -> str:
        """Return what the user calls a file.

        People who fill in a form know a file by its name, programs by its id. The id is also the
        answer for a file that the user may not see.
        """
        return (self._seen_name(file_id) if form_request.is_form() else None) or file_id

    def name_among_several(self, file_id: str) -> str:
        """Return what the user calls a file, in an error that is not at the file's own field.

        Without the field a program gets the name as well.
        """
        name = self._seen_name(file_id)
        if name is None:
            return file_id
        return name if form_request.is_form() else f"{name} ({file_id})"

    def sees(self, file_id: str) -> bool:
        """Return whether there is a file that the user may see."""
        return self._seen_name(file_id) is not None

    def _seen_name(self, file_id: str) -> str | None:
        if not self.may("file_show", {"id": file_id}):
            return None
        found = describe_files(model.Session(), [file_id]).get(file_id)
        return found.display_name if found else None

    def may(self, auth_function: str, data_dict: dict[str, Any]) -> bool:
        """Return the answer of one of CKAN's auth functions."""
        return is_allowed(auth_function, data_dict, self.context)
