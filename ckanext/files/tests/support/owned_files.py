"""Files of all kinds of owners, and users with all kinds of rights."""

from __future__ import annotations

import uuid

from ckanext.files.tests.support import portal
from ckanext.files.tests.support.users import call, new_user, site_user


class Owned:
    """Files of all kinds of owners, around one organization."""

    def __init__(self) -> None:
        self.admin, self.editor, self.member, self.other = (new_user() for _ in range(4))
        roles = {self.admin: "admin", self.editor: "editor", self.member: "member"}
        users = [{"name": name, "capacity": role} for name, role in roles.items()]
        name = f"o-{uuid.uuid4()}"
        self.organization = call("organization_create", site_user(), name=name, users=users)
        self.dataset = portal.new_dataset(
            self.admin,
            owner_org=self.organization["id"],
            private=True,
            resources=[portal.resource("first"), portal.resource("second")],
        )
        self.first, self.second = (resource["id"] for resource in self.dataset["resources"])
        self.group = call("group_create", self.editor, name=f"g-{uuid.uuid4()}")
        in_group = {"id": self.group["id"], "object_type": "package", "capacity": "public"}
        call("member_create", site_user(), object=self.dataset["id"], **in_group)
        self.editor_id = call("user_show", None, id=self.editor)["id"]
        self.files = {
            type_: portal.put((type_, id_))[0]
            for type_, id_ in (
                ("organization", self.organization["id"]),
                ("package", self.dataset["id"]),
                ("resource", self.first),
                ("group", self.group["id"]),
                ("user", self.editor_id),
            )
        }
        [self.of_removed] = portal.put(("resource", self.second))
        call("resource_delete", self.admin, id=self.second)
        [self.alone] = portal.put(None)

    def of(self, *types: str) -> set[str]:
        return {self.files[type_] for type_ in types}
