"""The tasks of maintenance, for callers.

``dry_run``, ``days``, ``storages`` and so on are for callers. ``progress`` is not:
a step passes it on to the next one.
"""

from .checksums import verify_checksums, verify_upload
from .expired_uploads import remove_expired_uploads
from .missing import report_missing
from .moving import move_storage
from .removal import remove_bytes
from .strays import remove_seen_strays, remove_strays
from .unneeded import delete_unattached, settle_abandoned

__all__ = [
    "delete_unattached",
    "move_storage",
    "remove_bytes",
    "remove_expired_uploads",
    "remove_seen_strays",
    "remove_strays",
    "report_missing",
    "settle_abandoned",
    "verify_checksums",
    "verify_upload",
]
