"""Fill a portal that has ckanext-files 1.3.4: old_portal.py INI COUNT MANIFEST.

Run by the Python of that portal (``python3 -m dev venv legacy``), where nothing of this
extension is installed. All is made by CKAN's and that extension's own actions,
on behalf of users. The manifest has the users' tokens, and a checksum of each file.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import uuid
from pathlib import Path
from typing import Any

from ckan import model
from ckan.cli import load_config
from ckan.config.middleware import make_app
from ckan.plugins import toolkit as tk

NAMES = ("report.pdf", "data.csv", "Übersicht 2024.txt", "page.html", "a b'c\"d.bin")


def call(action: str, user: str | None, /, **data: Any) -> Any:
    context: Any = {"ignore_auth": True} if user is None else {"user": user}
    return tk.get_action(action)(context, data)


class Portal:
    """Users, and what they have made."""

    def __init__(self) -> None:
        self.users = {name: self._user(name) for name in ("admin", "editor", "owner", "other")}
        admin: Any = model.User.get("admin")
        admin.sysadmin = True
        model.Session.commit()
        self.tokens = {
            name: call("api_token_create", None, user=name, name="move")["token"]
            for name in self.users
        }
        members = [{"name": "editor", "capacity": "editor"}]
        organization = call("organization_create", "admin", name="organization", users=members)
        group = call("group_create", "admin", name="group", users=members)
        public = self._dataset("public", organization, private=False)
        private = self._dataset("private", organization, private=True)
        self.owners = [
            None,  # stays with its user
            ("package", public["id"]),
            ("package", private["id"]),
            ("resource", public["resources"][0]["id"]),
            ("resource", private["resources"][1]["id"]),
            ("organization", organization["id"]),
            ("group", group["id"]),
        ]

    def _user(self, name: str) -> str:
        email = f"{name}@example.com"
        return call("user_create", None, name=name, email=email, password=str(uuid.uuid4()))["id"]

    def _dataset(self, name: str, organization: Any, **fields: Any) -> Any:
        resources = [{"name": "one", "url": "http://example.com"}, {"name": "two"}]
        fields = {"owner_org": organization["id"], "resources": resources, **fields}
        return call("package_create", "editor", name=name, **fields)

    def add_file(self, number: int) -> dict[str, Any]:
        """Upload a file, let it wander to its owner, and perhaps pin it there."""
        content = random.Random(number).randbytes((number * 997) % 50_000)
        uploader = ("editor", "owner")[number % 2] if number % 7 == 0 else "editor"
        file = call(
            "files_file_create",
            uploader,
            name=NAMES[number % len(NAMES)],
            upload=content,
            storage=("default", "archive")[number % 3 == 0],
        )
        owner = self.owners[number % len(self.owners)]
        if owner:
            if number % 4 == 0:  # a history with more than one line
                self._give(file["id"], self.owners[1 + number // 4 % 6], pin=number % 8 == 0)
            self._give(file["id"], owner, pin=False)
        if number % 2:
            call("files_file_pin", "admin", id=file["id"])
        return {"id": file["id"], "sha256": hashlib.sha256(content).hexdigest()}

    def _give(self, file_id: str, owner: Any, *, pin: bool) -> None:
        type_, id_ = owner
        call(
            "files_transfer_ownership",
            "admin",
            id=file_id,
            owner_type=type_,
            owner_id=id_,
            pin=pin,
            force=True,
        )


def main(ini: str, count: str, manifest: str) -> None:
    app: Any = make_app(load_config(ini))
    with app._wsgi_app.test_request_context():
        portal = Portal()
        files = [portal.add_file(number) for number in range(int(count))]
    Path(manifest).write_text(json.dumps({"tokens": portal.tokens, "files": files}))


if __name__ == "__main__":
    main(*sys.argv[1:])
