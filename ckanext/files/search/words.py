"""The words of a file's name and title, as PostgreSQL indexes and searches them.

Names of files are single tokens to PostgreSQL: ``annual-report_2024.pdf`` is a host name. So
punctuation becomes spaces, in what is indexed and in what is searched. The configuration
``simple`` is for all languages: words have neither stems nor stop words.
"""

from __future__ import annotations

import string
from typing import Any

import sqlalchemy as sa

from ckanext.files.store import INDEXED_TITLE

_SPACES = " " * len(string.punctuation)
_PUNCTUATION = string.punctuation.replace("'", "''")
_TO_SPACES = str.maketrans(string.punctuation, _SPACES)

SORTED_NAME = f"coalesce({INDEXED_TITLE}, name)"
"""SQL of the name by which files are sorted.

It differs from what people see where another plugin has stored a title that is no text, or an
empty one.
"""

WORDS = (
    f"to_tsvector('simple', translate(name || ' ' || coalesce({INDEXED_TITLE}, ''),"
    f" '{_PUNCTUATION}', '{_SPACES}'))"
)
"""SQL of the words of a file's name and title."""

LONGEST_SEARCH = 500
"""Of a search, in characters: PostgreSQL refuses a word of more than 2 KiB."""


def contains_words(text: str) -> Any | None:
    """Return the condition that a file has all words of a text, the last one maybe incomplete.

    :returns: None if the text has no words, such as ``*:*``.
    """
    words = [f"'{word}'" for word in text[:LONGEST_SEARCH].translate(_TO_SPACES).split()]
    if not words:
        return None
    query = sa.func.to_tsquery(sa.literal_column("'simple'"), " & ".join(words) + ":*")
    return sa.literal_column(WORDS).op("@@")(query)
