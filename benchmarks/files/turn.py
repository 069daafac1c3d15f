"""What a process measures in its turn: each page once."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from ckan import model
from ckan.tests import factories

from ckanext.files.store.models import file_table, owner_table

from ..pages import get, timed

_ALL = "/ckan-admin/files"
_OWN = "/dashboard/files"
_DATASET = "/dataset/files/large-dataset"
_ORGANIZATION = "/organization/files/large-organization"
_GROUP = "/group/files/group"

PAGES = {
    "all": {
        "sysadmin: all": ("sysadmin", _ALL),
        "sysadmin: all, page 50": ("sysadmin", f"{_ALL}?page={{late}}"),
        "sysadmin: all, page 500": ("sysadmin", f"{_ALL}?page={{last}}"),
        "sysadmin: all by name": ("sysadmin", f"{_ALL}?sort=name+asc"),
        "sysadmin: all by size, page 500": ("sysadmin", f"{_ALL}?sort=size+desc&page={{last}}"),
        "sysadmin: of datasets": ("sysadmin", f"{_ALL}?type=package"),
        "sysadmin: of users": ("sysadmin", f"{_ALL}?type=user"),
        "sysadmin: of organizations, none": ("sysadmin", f"{_ALL}?type=organization"),
        "sysadmin: frequent word": ("sysadmin", f"{_ALL}?q=report"),
        "sysadmin: rare word": ("sysadmin", f"{_ALL}?q=rare"),
        "sysadmin: no such word": ("sysadmin", f"{_ALL}?q=nosuchword"),
        "sysadmin: frequent format": ("sysadmin", f"{_ALL}?format=PDF"),
        "sysadmin: frequent format, page 50": ("sysadmin", f"{_ALL}?format=PDF&page={{late}}"),
        "sysadmin: rare format": ("sysadmin", f"{_ALL}?format=GeoJSON"),
        "sysadmin: rare storage": ("sysadmin", f"{_ALL}?storage=rare"),
        "sysadmin: word and format": ("sysadmin", f"{_ALL}?q=report&format=PDF"),
    },
    "own": {
        "owner of 20: own": ("small_owner", _OWN),
        "owner of 20: own, frequent word": ("small_owner", f"{_OWN}?q=report"),
        "owner of a fifth: own": ("large_owner", _OWN),
        "owner of a fifth: own, page 50": ("large_owner", f"{_OWN}?page={{late}}"),
        "owner of a fifth: own, page 500": ("large_owner", f"{_OWN}?page={{last}}"),
        "owner of a fifth: own by name": ("large_owner", f"{_OWN}?sort=name+asc"),
        "owner of a fifth: own, frequent word": ("large_owner", f"{_OWN}?q=report"),
        "owner of a fifth: own, no such word": ("large_owner", f"{_OWN}?q=nosuchword"),
        "owner of a fifth: own, frequent format": ("large_owner", f"{_OWN}?format=PDF"),
        "member: own, none": ("member", _OWN),
    },
    "owners": {
        "editor: dataset with 20": ("editor", "/dataset/files/small-dataset"),
        "editor: dataset with a fifth": ("editor", _DATASET),
        "editor: dataset with a fifth, page 50": ("editor", f"{_DATASET}?page={{late}}"),
        "editor: dataset with a fifth, frequent word": ("editor", f"{_DATASET}?q=report"),
        "admin: organization": ("admin", _ORGANIZATION),
        "admin: organization, page 50": ("admin", f"{_ORGANIZATION}?page={{late}}"),
        "admin: organization, page 500": ("admin", f"{_ORGANIZATION}?page={{last}}"),
        "admin: organization by name": ("admin", f"{_ORGANIZATION}?sort=name+asc"),
        "admin: organization by owner": ("admin", f"{_ORGANIZATION}?sort=owner+asc"),
        "admin: organization, frequent word": ("admin", f"{_ORGANIZATION}?q=report"),
        "admin: organization, rare word": ("admin", f"{_ORGANIZATION}?q=rare"),
        "admin: organization, no such word": ("admin", f"{_ORGANIZATION}?q=nosuchword"),
        "admin: organization, frequent format": ("admin", f"{_ORGANIZATION}?format=PDF"),
        "admin: organization, rare format": ("admin", f"{_ORGANIZATION}?format=GeoJSON"),
        "sysadmin: organization": ("sysadmin", _ORGANIZATION),
        "sysadmin: organization of old files": (
            "sysadmin",
            "/organization/files/old-organization",
        ),
        "sysadmin: organization with 20": ("sysadmin", "/organization/files/small-organization"),
        "sysadmin: group": ("sysadmin", _GROUP),
        "group's admin: group": ("group_admin", _GROUP),
        "group's admin: group, page 50": ("group_admin", f"{_GROUP}?page={{late}}"),
    },
    "files": {
        "owner: file": ("small_owner", "/file/{own_file}"),
        "owner: delete it?": ("small_owner", "/file/delete/{own_file}"),
        "sysadmin: file of a dataset": ("sysadmin", "/file/file-3"),
        "editor: file of a dataset": ("editor", "/file/file-3"),
        "member: file of a dataset": ("member", "/file/file-3"),
        "owner of 20: choose": ("small_owner", "/file/choose"),
        "owner of a fifth: choose": ("large_owner", "/file/choose"),
        "owner of a fifth: choose, frequent word": ("large_owner", "/file/choose?q=report"),
        "editor: choose for a dataset with a fifth": (
            "editor",
            "/file/choose?owner_type=package&owner=large-dataset",
        ),
    },
}
"""The pages by subject: the visitor and the address."""

_LATE = 50
_LAST = 500
"""The last page of what is counted up to 10,000."""


def prepare(count: int) -> None:
    """Make the files and what owns them."""
    sql = Path(__file__).with_name("files.sql").read_text()
    sql = sql.format(files=file_table, owners=owner_table)
    values = {**_owners(), "count": count}
    engine: Any = model.Session.get_bind()
    with engine.begin() as connection:
        for statement in sql.split(";\n"):
            connection.execute(sa.text(statement), values)
    # VACUUM refuses to run within a transaction
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM ANALYZE"))
    take()


def _owners() -> dict[str, str]:
    large = {"users": [_member(capacity, capacity) for capacity in ("admin", "editor", "member")]}
    return {
        "large_organization": factories.Organization(name="large-organization", **large)["id"],
        "old_organization": factories.Organization(name="old-organization")["id"],
        "small_organization": factories.Organization(name="small-organization")["id"],
        "group": factories.Group(name="group", users=[_member("group_admin", "admin")])["id"],
        "large_user": _user("large_owner")["id"],
        "small_user": _user("small_owner")["id"],
    }


def _member(visitor: str, capacity: str) -> dict[str, str]:
    return {"name": _user(visitor)["name"], "capacity": capacity}


@functools.cache
def _user(visitor: str) -> dict[str, Any]:
    return factories.UserWithToken(sysadmin=visitor == "sysadmin")


def take() -> dict[str, float]:
    """Return how many milliseconds each page took."""
    pages = [each for subject in PAGES.values() for each in subject.items()]
    return {name: timed(functools.partial(_get, *page)) for name, page in pages}


def _get(visitor: str, path: str) -> None:
    # few files are on one page
    last = _LAST if _file_count() > _LAST else 1
    late = min(last, _LATE)
    own_file = _user("small_owner")["id"] + "-file-1"
    get(path.format(late=late, last=last, own_file=own_file), _user(visitor)["token"])


@functools.cache
def _file_count() -> int:
    count = sa.select(sa.func.count()).select_from(file_table)
    return int(model.Session.execute(count).scalar() or 0)
