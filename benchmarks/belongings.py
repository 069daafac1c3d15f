"""What the measured calls work with: people, datasets and files, by SQL where they are many."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
import sqlalchemy as sa
from ckan import model
from ckan.types import Context

from .attachments import DATASET_TYPE

_STORAGE = "benchmarks"

# of CKAN 2.12, and of the extension on CKAN 2.11; stock CKAN runs without it in the process
_FILES, _OWNERS, _HISTORY = (
    ("file", "file_owner", "file_owner_transfer_history")
    if hasattr(model, "File")
    else ("files_file", "files_owner", "files_transfer_history")
)

_MAKE_FILES = sa.text(f"""
    WITH made AS (
        INSERT INTO {_FILES}
            (id, name, location, storage, content_type, size, hash, algorithm, created,
             storage_data, plugin_data)
        SELECT id, 'file.txt', id, :storage, 'text/plain', 0, '', '', now(), '{{}}', '{{}}'
        FROM (SELECT gen_random_uuid()::text AS id FROM generate_series(1, :count)) AS new
        RETURNING id
    )
    INSERT INTO {_OWNERS} (file_id, owner_type, owner_id, pinned)
    SELECT id, 'user', :user_id, false FROM made RETURNING file_id
""")


def make_people(name: str) -> None:
    """Make a user, and an organization of which the user is an editor."""
    _call(
        "user_create", name=name, email=f"{name}@benchmark.invalid", password="benchmark-password"
    )
    members = [{"name": name, "capacity": "editor"}]
    _call("organization_create", name=name, users=members)


def make_dataset(name: str, owner_org: str, resources: int) -> str:
    """Make a dataset, and return its id."""
    return _call(
        "package_create",
        name=name,
        type=DATASET_TYPE,
        owner_org=owner_org,
        resources=[
            {"name": f"Resource {number}", "url": f"https://benchmark.invalid/{number}"}
            for number in range(resources)
        ],
    )["id"]


def make_files(count: int, user: str) -> list[str]:
    """Make files that belong to a user, and return their ids."""
    owner = model.User.get(user)
    assert owner
    parameters = {"storage": _STORAGE, "count": count, "user_id": owner.id}
    ids = list(model.Session.execute(_MAKE_FILES, parameters).scalars())
    model.Session.commit()
    return ids


def analyze() -> None:
    """Let PostgreSQL know how many there are."""
    model.Session.execute(sa.text(f"ANALYZE {_FILES}, {_OWNERS}"))
    model.Session.commit()


def remove_everything(user: str) -> None:
    """Remove all that was made for a user."""
    query = sa.select(model.Package.id).join(model.Group, model.Group.id == model.Package.owner_org)
    ids = model.Session.execute(query.where(model.Group.name == user)).scalars().all()
    for id_ in ids:
        _call("dataset_purge", id=id_)
    _call("organization_purge", id=user)
    # CKAN has no index for the cascade: without one, each file reads the whole history
    history = f"benchmark_history ON {_HISTORY} (file_id)"
    model.Session.execute(sa.text(f"CREATE INDEX {history}"))
    model.Session.execute(sa.text(f"DELETE FROM {_FILES} WHERE storage = :s"), {"s": _STORAGE})
    model.Session.execute(sa.text("DROP INDEX benchmark_history"))
    if account := model.User.get(user):
        account.purge()
        model.Session.commit()


def _call(action: str, **data: Any) -> Any:
    site_user = tk.get_action("get_site_user")({"ignore_auth": True}, {})["name"]
    context: Context = {"user": site_user, "ignore_auth": True}
    return tk.get_action(action)(context, data)
