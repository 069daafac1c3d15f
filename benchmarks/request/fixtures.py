"""What the measured calls work with: people, datasets and files, by SQL where they are many."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
import sqlalchemy as sa
from ckan import model
from ckan.types import Context

from .plugin import DATASET_TYPE

# of CKAN 2.12, and of the extension on CKAN 2.11, whose plugin is not loaded here
_FILES, _OWNERS = (
    ("file", "file_owner") if hasattr(model, "File") else ("files_file", "files_owner")
)

_MAKE_FILES = sa.text(f"""
    WITH made AS (
        INSERT INTO {_FILES}
            (id, name, location, storage, content_type, size, hash, algorithm, created,
             storage_data, plugin_data)
        SELECT id, 'file.txt', id, 'benchmarks', 'text/plain', 0, '', '', now(), '{{}}', '{{}}'
        FROM (SELECT gen_random_uuid()::text AS id FROM generate_series(1, :count)) AS new
        RETURNING id
    )
    INSERT INTO {_OWNERS} (file_id, owner_type, owner_id, pinned)
    SELECT id, 'user', :user_id, false FROM made RETURNING file_id
""")


class Fixtures:
    """They are made for one user; the database of the run is dropped after it."""

    def __init__(self, user: str) -> None:
        self._user = user

    def people(self) -> None:
        """Make the user, and an organization of which the user is an editor."""
        name, password = self._user, "benchmark-password"
        _call("user_create", name=name, email=f"{name}@benchmark.invalid", password=password)
        members = [{"name": name, "capacity": "editor"}]
        _call("organization_create", name=name, users=members)

    def dataset(self, name: str, resources: int) -> str:
        """Make a dataset, and return its id."""
        urls = [f"https://benchmark.invalid/{number}" for number in range(resources)]
        return _call(
            "package_create",
            name=name,
            type=DATASET_TYPE,
            owner_org=self._user,
            resources=[{"name": f"Resource {n}", "url": url} for n, url in enumerate(urls)],
        )["id"]

    def files(self, count: int) -> list[str]:
        """Make files that belong to the user, and return their ids."""
        user: Any = model.User.get(self._user)
        parameters = {"count": count, "user_id": user.id}
        ids = list(model.Session.execute(_MAKE_FILES, parameters).scalars())
        model.Session.commit()
        return ids

    def analyze(self) -> None:
        """Let PostgreSQL know how many there are."""
        model.Session.execute(sa.text(f"ANALYZE {_FILES}, {_OWNERS}"))
        model.Session.commit()


def _call(action: str, **data: Any) -> Any:
    site_user = tk.get_action("get_site_user")({"ignore_auth": True}, {})["name"]
    context: Context = {"user": site_user, "ignore_auth": True}
    return tk.get_action(action)(context, data)
