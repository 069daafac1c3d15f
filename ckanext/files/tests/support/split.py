"""Where Solr and PostgreSQL tell different things of datasets."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from ckan.common import config
from ckan.lib import search

from ckanext.files.tests.support.effects import engine

_COLUMNS = ("id", "name", "title", "notes", "private", "state", "owner_org", "metadata_modified")


def splits() -> list[str]:
    """Return what Solr tells of this site's datasets that is not so, a line for each dataset."""
    rows, documents = _rows(), _documents()
    return [
        f"{package_id}: {rows.get(package_id)} in PostgreSQL, {documents.get(package_id)} in Solr"
        for package_id in sorted(rows.keys() | documents.keys())
        if rows.get(package_id) != documents.get(package_id)
    ]


def _rows() -> dict[str, dict[str, Any]]:
    """Return what the database tells of each dataset that should be in Solr."""
    with engine().connect() as connection:
        found = connection.execute(sa.text(f"SELECT {', '.join(_COLUMNS)} FROM package")).mappings()
        rows = {row["id"]: dict(row) for row in found}
    if config["ckan.search.remove_deleted_packages"]:
        rows = {key: row for key, row in rows.items() if row["state"] != "deleted"}
    for row in rows.values():
        row["metadata_modified"] = row["metadata_modified"].isoformat()
        row["capacity"] = "private" if row["private"] else "public"
    return rows


def _documents() -> dict[str, dict[str, Any]]:
    """Return the same, as Solr tells it."""
    query = f'site_id:"{config["ckan.site_id"]}"'
    found = search.make_connection().search(q=query, fl="*", rows=100_000).docs
    return {document["id"]: _read(document) for document in found}


def _read(document: dict[str, Any]) -> dict[str, Any]:
    told = json.loads(document["data_dict"])
    read = {column: told[column] for column in _COLUMNS}
    # what is searched for is a field of its own
    own = {key: document.get(key) for key in ("name", "title", "notes", "state")}
    return {**read, **own, "capacity": document["capacity"]}
