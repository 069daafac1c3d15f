"""The rule: who may give which file to whom.

One function, asked by the validator before anything is changed, and again by
whatever moves files, when nobody else can touch them any more.
"""

from __future__ import annotations

from collections.abc import Callable, Container

from ckanext.files.store import FileRecord, Owner

from .refusals import Refusal


def judge(
    file: FileRecord | None,
    target: Owner | None,
    home: Container[Owner],
    may_edit: Callable[[FileRecord], bool],
    *,
    force: bool = False,
) -> Refusal | None:
    """Return why a file may not go to an owner; None if it may.

    That the user may give anything to the new owner at all is not asked here:
    the action that saves the owner has asked it.

    :param file: None if it does not exist.
    :param target: the new owner; None if it has no id yet.
    :param home: the owners within the dataset that the new owner is part of.
        Files move freely among them.
    :param may_edit: tells whether the user may edit the file.
    :param force: move it also if its owner keeps it. That is more than to save
        an owner, so the user has to have the right to edit the file.
    """
    if file is None:
        return Refusal.UNKNOWN
    is_free = file.owner is not None and (file.owner == target or file.owner in home)
    if is_free and not force:
        return None
    if not may_edit(file):
        return Refusal.UNKNOWN
    if file.pinned and not force:
        return Refusal.PINNED
    return None
