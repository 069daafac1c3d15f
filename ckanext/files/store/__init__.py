"""The files themselves: one set of names over CKAN's own files.

Purpose: read, describe and move files, and find what lies in their storages, whether the
models come from CKAN 2.12 or from the backport. Reading and moving need the same few
statements for one file as for a thousand.

Refused: deciding. CKAN's auth functions do (:mod:`.access`); which file may go to which owner is
the subject of :mod:`ckanext.files.ownership`.
"""

from .access import BEFORE_DOWNLOAD, FileAccess, is_allowed
from .deletion import CannotRemoveError, delete_file, lock_file
from .descriptions import FileDescription, describe_files, file_dict, load_files
from .file_owners import (
    OwnerChange,
    change_owners,
    lock_owners_of,
    owners_with_files,
    read_files,
)
from .formats import format_of, known_formats
from .models import TABLES, File, FileRecord, Owner
from .storages import is_configured, storage_name
from .titles import INDEXED_TITLE, LONGEST_TITLE, TITLE, set_title, shown_name, title_of

__all__ = [
    "BEFORE_DOWNLOAD",
    "INDEXED_TITLE",
    "LONGEST_TITLE",
    "TABLES",
    "TITLE",
    "CannotRemoveError",
    "File",
    "FileAccess",
    "FileDescription",
    "FileRecord",
    "Owner",
    "OwnerChange",
    "change_owners",
    "delete_file",
    "describe_files",
    "file_dict",
    "format_of",
    "is_allowed",
    "is_configured",
    "known_formats",
    "load_files",
    "lock_file",
    "lock_owners_of",
    "owners_with_files",
    "read_files",
    "set_title",
    "shown_name",
    "storage_name",
    "title_of",
]
