"""Why a file does not move, and how that is said."""

from __future__ import annotations

import enum

from ckan.plugins import toolkit as tk


class Refusal(enum.Enum):
    """A reason for which a file does not go to a new owner."""

    UNKNOWN = enum.auto()
    """It does not exist, or the user may not use it. Nobody learns which."""

    PINNED = enum.auto()
    """Its owner keeps it. Said only to those who may edit the file."""

    TWICE = enum.auto()
    """Two places name it, and only one can own it."""

    TAKEN = enum.auto()
    """It had no owner, and somebody has given it one at this very moment."""

    NO_OWNER = enum.auto()
    """What the action returned does not tell whose file it becomes."""

    def of(self, file_id: str) -> str:
        """Return the sentence for a file."""
        if self is Refusal.PINNED:
            sentence = tk._("File {id} belongs to something else, which keeps it")
        elif self is Refusal.TWICE:
            sentence = tk._("File {id} is named in two places, and can belong to one only")
        elif self is Refusal.TAKEN:
            sentence = tk._("File {id} has just been given to something else")
        elif self is Refusal.NO_OWNER:
            sentence = tk._(
                "File {id} cannot be saved here: it cannot be told what it would belong to"
            )
        else:
            sentence = tk._("File {id} does not exist, or you are not allowed to use it")
        return sentence.format(id=file_id)
