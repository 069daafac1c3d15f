"""The tasks: each goes on with itself until all files have been looked at.

``days``, ``storages`` and so on are what to look for; ``walk`` is how far a job
is, and not for callers.
"""

from .checksums import verify_checksums, verify_upload
from .deleting import delete_unattached, settle_abandoned
from .missing import report_missing
from .moving import move_storage
from .removal import remove_bytes
from .strays import remove_seen_strays, remove_strays

__all__ = [
    "delete_unattached",
    "move_storage",
    "remove_bytes",
    "remove_seen_strays",
    "remove_strays",
    "report_missing",
    "settle_abandoned",
    "verify_checksums",
    "verify_upload",
]
