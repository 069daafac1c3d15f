"""Finding files by words, owner, storage and format, fast also among a hundred thousand.

Purpose: what :func:`files_search` and the pages of files need: the SQL and its indexes, the files
of an owner, and the names of owners.

Guarantee: the first pages of a search take little longer among a hundred thousand files than among
a hundred. A search counts at most :data:`MOST_COUNTED` files, and sorts at most 50,000, all of one
owner. The order by owner is an exception where no owner is named.

Refused: deciding whose files a user may list. The auth function of the action does.
"""

from .choices import find_choices
from .dictionaries import file_dicts
from .formats_in_use import formats_in_use
from .found import MOST_COUNTED, Found, search
from .indexes import create_indexes, drop_indexes, without_reflection_warnings
from .mentions import Mention, fields_of_owners, find_mentions
from .owners import OwnerDescription, describe_owners
from .query import Query
from .scope import ALL, Scope, files_of, files_of_type
from .sorting import NEWEST_FIRST, SORTS, Sort, parse_sort
from .words import LONGEST_SEARCH

__all__ = [
    "ALL",
    "LONGEST_SEARCH",
    "MOST_COUNTED",
    "NEWEST_FIRST",
    "SORTS",
    "Found",
    "Mention",
    "OwnerDescription",
    "Query",
    "Scope",
    "Sort",
    "create_indexes",
    "describe_owners",
    "drop_indexes",
    "fields_of_owners",
    "file_dicts",
    "files_of",
    "files_of_type",
    "find_choices",
    "find_mentions",
    "formats_in_use",
    "parse_sort",
    "search",
    "without_reflection_warnings",
]
