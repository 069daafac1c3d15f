"""Give many files to their new owners."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa
from ckan.model.types import make_uuid
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from .identity import expire
from .models import history_table, owner_table
from .records import Owner


class NewOwner(NamedTuple):
    """To whom a file goes, and whether it stays there."""

    owner: Owner
    pinned: bool


def _column(name: str, of: Any = sa.TEXT) -> Any:
    # a type in the statement itself: PostgreSQL cannot tell that of an empty array
    array = postgresql.ARRAY(of)
    return sa.cast(sa.bindparam(name, type_=array), array)


_NEW = (
    sa.func.unnest(
        _column("file_ids"),
        _column("owner_types"),
        _column("owner_ids"),
        _column("pins", sa.BOOLEAN),
        _column("history_ids"),
    )
    .table_valued("file_id", "owner_type", "owner_id", "pinned", "history_id")
    .render_derived("new")
)

_REMEMBER = sa.insert(history_table).from_select(
    ["id", "file_id", "owner_type", "owner_id", "actor", "action", "at"],
    sa.select(
        _NEW.c.history_id,
        owner_table.c.file_id,
        owner_table.c.owner_type,
        owner_table.c.owner_id,
        sa.bindparam("actor", type_=sa.TEXT),
        sa.literal("transfer"),
        sa.func.now(),
    )
    .select_from(_NEW.join(owner_table, owner_table.c.file_id == _NEW.c.file_id))
    .where(
        sa.or_(
            owner_table.c.owner_type != _NEW.c.owner_type, owner_table.c.owner_id != _NEW.c.owner_id
        )
    ),
)

_GIVE = postgresql.insert(owner_table).from_select(
    ["file_id", "owner_type", "owner_id", "pinned"],
    sa.select(_NEW.c.file_id, _NEW.c.owner_type, _NEW.c.owner_id, _NEW.c.pinned),
)
_GIVE = _GIVE.on_conflict_do_update(
    index_elements=[owner_table.c.file_id],
    set_={name: _GIVE.excluded[name] for name in ("owner_type", "owner_id", "pinned")},
)


def give(session: Session, files: Mapping[str, NewOwner], actor: str) -> None:
    """Make these the owners of files that this transaction has locked.

    A file that leaves an owner gets a line in its history, as CKAN writes it.

    :param files: the new owner of each file, by the file's id.
    :param actor: name of the user who wants it so.
    """
    parameters = {
        "file_ids": list(files),
        "owner_types": [new.owner.type for new in files.values()],
        "owner_ids": [new.owner.id for new in files.values()],
        "pins": [new.pinned for new in files.values()],
        "history_ids": [make_uuid() for _ in files],
    }
    session.execute(_REMEMBER, {**parameters, "actor": actor})
    session.execute(_GIVE, parameters)
    expire(session, files)
