"""What Solr has of datasets, whether PostgreSQL has the same, and intents about the index."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

import pytest
from ckan.common import config
from ckan.lib import search

from ckanext.files.tests.support.effects import change, look, rows
from ckanext.files.tests.support.proxy import Proxy
from ckanext.files.tests.support.users import call
from ckanext.files.transaction import index_repair

_COLUMNS = ("id", "name", "title", "notes", "private", "state", "owner_org", "metadata_modified")


def document(reference: str) -> str | None:
    """Return a dataset as Solr has it (JSON), by id or name; None if it has not."""
    connection = search.make_connection()
    query = f'id:"{reference}" OR name:"{reference}"'
    found = connection.search(q=query, fl="validated_data_dict", rows=1).docs
    return found[0]["validated_data_dict"] if found else None


def title_in_solr(package_id: str) -> str | None:
    """Return the title in a dataset's search document, None if there is no document."""
    connection = search.make_connection()
    found = connection.search(q=f'id:"{package_id}"', fl="title", rows=1).docs
    return found[0].get("title") if found else None


def titles(package_id: str) -> tuple[str | None, str | None]:
    """Return the dataset's title in PostgreSQL and in Solr."""
    title = look("SELECT title FROM package WHERE id = :id", id=package_id)
    return title, title_in_solr(package_id)


def retitle(package_id: str, title: str) -> Any:
    """Give the dataset another title."""
    return call("package_patch", None, id=package_id, title=title)


@contextmanager
def solr_through_proxy() -> Iterator[Proxy]:
    """Let CKAN reach Solr through a proxy, in this process and in forks of it."""
    url = urlsplit(search.make_connection().url)
    proxy = Proxy(url.hostname or "127.0.0.1", url.port or 8983)
    with _solr_at(url._replace(netloc=f"127.0.0.1:{proxy.port}").geturl()):
        yield proxy
    proxy.stop()


@contextmanager
def solr_away() -> Iterator[None]:
    """Let CKAN look for Solr at a port without a server."""
    with _solr_at("http://127.0.0.1:1/solr/nowhere"):
        yield


@contextmanager
def _solr_at(url: str) -> Iterator[None]:
    common: Any = import_module("ckan.lib.search.common")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(config, "solr_url", url)
        patch.setenv("CKAN_SOLR_URL", url)  # for an application that is made meanwhile
        if hasattr(common, "SolrSettings"):  # CKAN 2.11
            patch.setattr(common.SolrSettings, "_url", url)
        yield


def splits() -> list[str]:
    """Return where the two differ, a line for each dataset of this site."""
    datasets, documents = _datasets(), _documents()
    return [
        f"{id_}: {datasets.get(id_)} in PostgreSQL, {documents.get(id_)} in Solr"
        for id_ in sorted(datasets.keys() | documents.keys())
        if datasets.get(id_) != documents.get(id_)
    ]


def _datasets() -> dict[str, dict[str, Any]]:
    """Return each dataset that should be in Solr, as PostgreSQL has it."""
    found = {
        row.id: dict(row._mapping) for row in rows(f"SELECT {', '.join(_COLUMNS)} FROM package")
    }
    if config["ckan.search.remove_deleted_packages"]:
        found = {key: row for key, row in found.items() if row["state"] != "deleted"}
    for row in found.values():
        row["metadata_modified"] = row["metadata_modified"].isoformat()
        row["capacity"] = "private" if row["private"] else "public"
    return found


def _documents() -> dict[str, dict[str, Any]]:
    """Return the same, as Solr has it."""
    query = f'site_id:"{config["ckan.site_id"]}"'
    found = search.make_connection().search(q=query, fl="*", rows=100_000).docs
    return {document["id"]: _read(document) for document in found}


def _read(document: dict[str, Any]) -> dict[str, Any]:
    dataset = json.loads(document["data_dict"])
    read = {column: dataset[column] for column in _COLUMNS}
    # what is searched for is a field of its own
    own = {key: document.get(key) for key in ("name", "title", "notes", "state")}
    return {**read, **own, "capacity": document["capacity"]}


def forget_intents() -> None:
    """Leave no intents to the tests that follow."""
    free = "SELECT id FROM files_index_intent FOR UPDATE SKIP LOCKED"
    change(f"DELETE FROM files_index_intent WHERE id IN ({free})")


def intents() -> list[tuple[str, int]]:
    """Return dataset and number of looks of each intent that is left and not locked."""
    query = "SELECT package_id, looks FROM files_index_intent ORDER BY id FOR UPDATE SKIP LOCKED"
    return [(package_id, looks) for package_id, looks in rows(query)]


def announced() -> list[str]:
    """Return the datasets of all intents, also of transactions that go on."""
    return [id_ for (id_,) in rows("SELECT package_id FROM files_index_intent ORDER BY id")]


def look_now() -> list[index_repair.Repair]:
    """Have the next look at all intents now."""
    index_repair.make_all_due()
    return list(index_repair.repair_due())
