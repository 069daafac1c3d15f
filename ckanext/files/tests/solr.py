"""What Solr says, asked over HTTP."""

from __future__ import annotations

from ckan.lib import search


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
