"""What Solr says, asked over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

import pytest
from ckan.common import config
from ckan.lib import search

from ckanext.files.tests.support.proxy import Proxy


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
    """Let CKAN look for Solr where nobody listens."""
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
