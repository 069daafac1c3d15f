"""What the files of a search have in common, and their order."""

from __future__ import annotations

import dataclasses
from typing import Any

import sqlalchemy as sa

from .formats import format_alternatives
from .sorting import NEWEST_FIRST, Sort
from .words import contains_words


@dataclasses.dataclass(frozen=True)
class Query:
    """Conditions on files, and an order. Conditions name a file's columns without its table."""

    words: str = ""
    storage: str = ""
    format: str = ""
    sort: Sort = NEWEST_FIRST

    @property
    def has_conditions(self) -> bool:
        """Whether it leaves out any files."""
        return bool(self.format or self._common)

    @property
    def condition(self) -> Any:
        """The condition on a file's row."""
        return sa.or_(*(sa.and_(*each) for each in self.alternatives))

    @property
    def alternatives(self) -> list[list[Any]]:
        """The same condition, as conditions of which a file fulfils at most one.

        A caller adds up what they find: an index answers each of them. With one OR, PostgreSQL
        evaluates the expressions again for each row that the indexes have found, which takes as
        long as everything else.
        """
        formats = format_alternatives(self.format) if self.format else [sa.true()]
        return [[format_, *self._common] for format_ in formats]

    @property
    def _common(self) -> list[Any]:
        words = contains_words(self.words)
        storage = sa.literal_column("storage") == self.storage if self.storage else None
        return [condition for condition in (words, storage) if condition is not None]
