"""A harvester of a catalog that does not exist, as harvesters are written.

The url of its source is ``catalog:`` and the number of datasets. Each call of a stage is
noted at once, over a connection of its own: a rollback does not take the note back.
"""

from __future__ import annotations

import json
from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk
import sqlalchemy as sa
from ckan import model
from ckanext.harvest.interfaces import IHarvester  # pyright: ignore[reportMissingImports]
from ckanext.harvest.model import HarvestObject  # pyright: ignore[reportMissingImports]

from ckanext.files.tests.support.crash import kill_now

NOTES = "harvest_test_note"

failing: set[str] = set()
"""The numbers of the datasets whose import fails; ``gather`` if that does; ``kill`` if an import
kills its process when the dataset is there."""


def note(stage: str, name: str) -> None:
    """Note that a stage has been called, whatever becomes of it."""
    with model.meta.engine.begin() as connection:  # pyright: ignore[reportOptionalMemberAccess]
        connection.execute(
            sa.text(f"INSERT INTO {NOTES} VALUES (:stage, :name)"), {"stage": stage, "name": name}
        )


class CatalogHarvester(p.SingletonPlugin):
    p.implements(IHarvester)

    def info(self) -> dict[str, str]:
        return {"name": "catalog", "title": "Catalog", "description": "Datasets by number"}

    def gather_stage(self, harvest_job: Any) -> list[str]:
        note("gather", harvest_job.id)
        if "gather" in failing:
            raise RuntimeError("The catalog cannot be read")
        ids = []
        for number in range(int(harvest_job.source.url.rpartition(":")[2])):
            found = HarvestObject(guid=f"{harvest_job.source.id}-{number}", job=harvest_job)
            found.save()
            ids.append(found.id)
        return ids

    def fetch_stage(self, harvest_object: Any) -> bool:
        harvest_object.content = json.dumps({"name": f"d-{harvest_object.guid}"})
        harvest_object.save()
        return True

    def import_stage(self, harvest_object: Any) -> bool:
        name = json.loads(harvest_object.content)["name"]
        note("import", name)
        user = tk.get_action("get_site_user")({"ignore_auth": True}, {})["name"]
        context: Any = {"ignore_auth": True, "user": user}
        dataset = tk.get_action("package_create")(context, {"name": name})
        if "kill" in failing:
            kill_now()
        harvest_object.package_id, harvest_object.current = dataset["id"], True
        harvest_object.save()
        if name.rpartition("-")[2] in failing:
            raise RuntimeError(f"{name} cannot be imported")
        return True
