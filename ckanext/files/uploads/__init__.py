"""Resumable uploads: the tus protocol 1.0, for browsers and scripts.

Purpose: a file of any size arrives in parts, over connections that break, and becomes a file as the
action ``file_create`` makes one.
Guarantee: the offset of an upload counts only bytes that are stored, and reaches the size of the
file only in the commit that makes the file. Each byte that is stored before belongs to a row of the
table ``files_upload``, which expires. No lock is held while bytes arrive: a client that has lost
its connection goes on at once, while the request of the old connection may still wait for bytes.

Refused: deciding who may upload what. That is asked of ``file_create`` and of the storage.
"""

from .checks import size_limit
from .errors import UploadRefusedError
from .own_uploads import discard_upload
from .protocol import read_metadata
from .removal import RemovedUpload, count_expired, find_stray_bytes, remove_expired
from .table import unfinished_uploads

__all__ = [
    "RemovedUpload",
    "UploadRefusedError",
    "count_expired",
    "discard_upload",
    "find_stray_bytes",
    "read_metadata",
    "remove_expired",
    "size_limit",
    "unfinished_uploads",
]
