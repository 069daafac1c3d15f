"""The files themselves: one set of names over CKAN's own files.

Nothing else in this extension touches the models of files. Reading and moving
cost the same few statements for one file and for a thousand.
"""

from .models import File
from .moving import NewOwner, give
from .reading import lock, read
from .records import FileRecord, Owner
from .showing import show

__all__ = ["File", "FileRecord", "NewOwner", "Owner", "give", "lock", "read", "show"]
