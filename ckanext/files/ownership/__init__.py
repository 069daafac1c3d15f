"""Who owns a file: the policy, the claims of a request, and the transfer.

Purpose: a validator finds the files that a request names, checks them and queues one task. The
task finds the new owners in the result of the action, locks the files, checks again and
transfers all of them in the commit of the action.

Guarantee: of two requests that claim one file only one gets it, and what a request does not
change moves nothing.

Refused: releasing a file for which neither the request nor an option asks. A file that a field no
longer names stays with its owner.
"""

from .claims import Claims
from .field_arguments import FieldArgumentError, FieldArguments
from .form_fields import digests_of_other_fields
from .owners import find_owner, is_name_only, is_owner_type, lock_owner, scope_of
from .policy import Actor, Refusal, refusal_for
from .results import errors_on_fields
from .stored_fields import StoredFields, place_of, stored_fields_of
from .transfer import TransferRefusedError, transfer, transfer_together
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
from .withdrawals import withdraw_files

__all__ = [
    "Actor",
    "Claims",
    "FieldArgumentError",
    "FieldArguments",
    "NoFileIdsError",
    "Refusal",
    "StoredFields",
    "TransferRefusedError",
    "digests_of_other_fields",
    "errors_on_fields",
    "file_ids",
    "find_owner",
    "is_id",
    "is_list_of_nothing",
    "is_name_only",
    "is_owner_type",
    "is_uuid",
    "lock_owner",
    "place_of",
    "refusal_for",
    "refuse_used_ids",
    "scope_of",
    "stored_fields_of",
    "texts",
    "transfer",
    "transfer_together",
    "values_at",
    "withdraw_files",
]
