"""Who owns a file: what may move where, and moving it.

A validator finds the files that a request names, checks them and queues one
task; the task finds their new owners in the result of the action, locks the
files, checks again and moves all of them at once.

Nothing is ever released: a file that a field no longer names stays with its
owner.
"""

from .claims import Claims
from .dataset_scope import scope_of
from .editor import Editor
from .field import Field, FieldArgumentError
from .field_errors import errors_on_fields
from .owners import find_owner, is_only_called, lock_owner
from .policy import judge
from .refusals import Refusal
from .task import OwnershipTransferTask
from .transfer import TransferRefusedError, Wish, transfer, transfer_together
from .used_ids import refuse_used_ids
from .values import (
    NoFileIdsError,
    file_ids,
    is_id,
    is_list_of_nothing,
    is_uuid,
    texts,
    values_at,
)

__all__ = [
    "Claims",
    "Editor",
    "Field",
    "FieldArgumentError",
    "NoFileIdsError",
    "OwnershipTransferTask",
    "Refusal",
    "TransferRefusedError",
    "Wish",
    "errors_on_fields",
    "file_ids",
    "find_owner",
    "is_id",
    "is_list_of_nothing",
    "is_only_called",
    "is_uuid",
    "judge",
    "lock_owner",
    "refuse_used_ids",
    "scope_of",
    "texts",
    "transfer",
    "transfer_together",
    "values_at",
]
