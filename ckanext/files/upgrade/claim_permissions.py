"""Whether the user who owns a file may put it where a field names it.

A claim is no user's request, and an editor could write the id of any file into
the field. So a file goes only to an entity that its owner may edit at present.
A sysadmin may edit everything, so a sysadmin must take part in the entity.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from ckan import model
from sqlalchemy.orm import Session

from ckanext.files.ownership import Actor
from ckanext.files.store import Owner

_EDITING = ("admin", "editor")
"""Roles of members of organizations and groups who may edit."""


class ClaimPermissions:
    """Decides about files that belong to users.

    :param trust_sysadmins: let files of sysadmins go wherever a field names them.
    """

    def __init__(self, session: Session, *, trust_sysadmins: bool) -> None:
        self._session = session
        self._trust_sysadmins = trust_sysadmins

    def objection(self, user_id: str, owner: Owner) -> str | None:
        """Return why a file must not go from a user to a new owner; None if it may."""
        user: Any = self._session.get(model.User, user_id)
        if user is None or user.state != model.State.ACTIVE:
            return f"belongs to the user {user.name if user else user_id}, who is not active"
        if user.sysadmin:
            if self._trust_sysadmins or self._takes_part(user, owner):
                return None
            return (
                f"belongs to the sysadmin {user.name}, who takes no part in this "
                "(see --trust-sysadmins)"
            )
        # a context for each question, because auth functions keep entities in it
        actor = Actor({"user": user.name, "auth_user_obj": user})
        if not actor.may(f"{owner.type}_update", {"id": owner.id}):
            return f"belongs to the user {user.name}, who may not edit this"
        return None

    def _takes_part(self, user: Any, owner: Owner) -> bool:
        """Return whether a sysadmin made the entity, or edits in its organization or group."""
        if owner.type in ("group", "organization"):
            group_id: str | None = owner.id
        elif owner.type in ("package", "resource"):
            dataset = self._dataset(owner)
            if dataset is None or dataset.creator_user_id == user.id:
                return dataset is not None
            group_id = dataset.owner_org
        else:
            return False
        member = model.Member
        is_member = sa.select(member.id).where(
            member.table_name == "user",
            member.table_id == user.id,
            member.group_id == group_id,
            member.state == model.State.ACTIVE,
            member.capacity.in_(_EDITING),
        )
        return self._session.execute(is_member.limit(1)).first() is not None

    def _dataset(self, owner: Owner) -> Any:
        id_ = owner.id
        if owner.type == "resource":
            id_ = getattr(self._session.get(model.Resource, id_), "package_id", "")
        return self._session.get(model.Package, id_)
