"""The files themselves: one set of names over CKAN's own files.

Nothing else in this extension touches the models of files. Reading and moving
cost the same few statements for one file and for a thousand.
"""

from .describing import FileDescription, describe, describe_belongings
from .models import TABLES, File
from .owner_changes import Move, give
from .owning import owning
from .reading import read
from .records import FileRecord, Owner
from .showing import show
from .storages import is_configured

__all__ = [
    "TABLES",
    "File",
    "FileDescription",
    "FileRecord",
    "Move",
    "Owner",
    "describe",
    "describe_belongings",
    "give",
    "is_configured",
    "owning",
    "read",
    "show",
]
