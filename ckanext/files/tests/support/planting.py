"""Values in the database that no validator has seen."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from ckan import model
from ckan.lib import search

from ckanext.files.tests.support.effects import engine

HAS_TABLE = hasattr(model, "PackageExtra")


def plant_in_resource(id_: str, **fields: Any) -> None:
    """Store what no validator has seen in the fields of a resource."""
    with engine().begin() as connection:
        change = "UPDATE resource SET extras = :extras WHERE id = :id RETURNING package_id"
        parameters = {"extras": json.dumps(fields), "id": id_}
        dataset_id = connection.execute(sa.text(change), parameters).scalar_one()
    _index(dataset_id)
    model.Session.remove()


def plant(table: str, id_: str, **fields: Any) -> None:
    """The same for a dataset or a group."""
    for key, value in fields.items():
        if HAS_TABLE:
            delete = f"DELETE FROM {table}_extra WHERE {table}_id = :id AND key = :key"
            change = (
                f"WITH old AS ({delete})"
                f" INSERT INTO {table}_extra (id, {table}_id, key, value, state)"
                " VALUES (gen_random_uuid()::text, :id, :key, :value, 'active')"
            )
        else:
            change = (
                f"UPDATE \"{table}\" SET extras = coalesce(extras, '{{}}')"
                " || jsonb_build_object(CAST(:key AS text), CAST(:value AS text)) WHERE id = :id"
            )
        with engine().begin() as connection:
            connection.execute(sa.text(change), {"id": id_, "key": key, "value": value})
    if table == "package":
        _index(id_)
    model.Session.remove()


def _index(dataset_id: str) -> None:
    """Actions may read a dataset from there."""
    model.Session.remove()
    search.rebuild(dataset_id)
