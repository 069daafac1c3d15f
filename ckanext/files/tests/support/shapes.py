"""How extensions that are not on PyPI, or need more than CKAN, ask for jobs, and what these do.

Each function is shaped as one of the extension that its comment names: where it is asked for, what
its arguments are, and how it goes on.
"""

from __future__ import annotations

import abc
import dataclasses
import datetime as dt
import enum
import tempfile
import time
from pathlib import Path
from typing import Any

import ckan.plugins.toolkit as tk
from ckan import model

from ckanext.files.tests.support.jobs import effect_at_once
from ckanext.files.tests.support.sample import effect

# archiver and qa: asked for in `notify`, before the commit of the resource


def archive(entity: Any, _operation: Any) -> None:
    """What archiver does in ``notify``."""
    if isinstance(entity, model.Resource):
        tk.enqueue_job(update_resource, [entity.id], title=f"archive {entity.id}", queue="priority")


def update_resource(resource_id: str) -> None:
    """It sleeps because of RQ: the job may begin before the commit."""
    time.sleep(2)
    resource = tk.get_action("resource_show")({"ignore_auth": True}, {"id": resource_id})
    effect(f"{resource['name']}-archived")
    model.Session.commit()
    # qa hears of that, and asks for a job in this one
    tk.enqueue_job(update_qa, [resource_id], queue="priority")


def update_qa(resource_id: str) -> None:
    resource = model.Resource.get(resource_id)
    assert resource
    effect(f"{resource.name}-qa")
    model.Session.commit()


# syndicate: an enum and a dataclass, which pickle holds


class Topic(enum.Enum):
    CREATE = "dataset/create"
    UPDATE = "dataset/update"


@dataclasses.dataclass(frozen=True)
class Profile:
    """Another portal; it has a secret."""

    id: str
    api_key: str
    url: str = "https://ckan.example.com"
    refresh: set[str] = dataclasses.field(default_factory=lambda: {"title"})
    since: dt.datetime = dt.datetime(2020, 2, 2, tzinfo=dt.timezone.utc)


def syndicate(package: str, topic: Topic, profile: Profile) -> None:
    assert topic is Topic.UPDATE
    assert profile == Profile(profile.id, "secret")
    effect(f"{package}-{topic.value}-{profile.id}")
    model.Session.commit()


# versioned-datastore: the method of an object, and jobs that depend on others


class Import(abc.ABC):
    """What is to be done, and its state, are one object."""

    title = "Import"

    def __init__(self, name: str, records: list[tuple[int, bytes]]) -> None:
        self.name = name
        self.records = records

    def queue(self, depends_on: Any = None) -> Any:
        options = {"timeout": "24h", **({"depends_on": depends_on} if depends_on else {})}
        return tk.enqueue_job(self.start, queue="import", title=self.title, rq_kwargs=options)

    def start(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self.run(Path(folder))

    @abc.abstractmethod
    def run(self, folder: Path) -> None:
        """Do it."""


class Ingest(Import):
    def run(self, folder: Path) -> None:
        for number, data in self.records:
            (folder / str(number)).write_bytes(data)
        assert sum(file.stat().st_size for file in folder.iterdir()) == 5
        effect(f"{self.name}-ingested")
        model.Session.commit()


class Index(Import):
    def run(self, folder: Path) -> None:
        effect(f"{self.name}-indexed")
        model.Session.commit()


# admin-panel: an object of the database in a dictionary, and a callback that reads it


def run_cron(data: dict[str, Any]) -> None:
    raise ValueError(f"cron of {data['data']['cron_job'].name} fails")


def cron_failed(job: Any, connection: Any, kind: Any, error: Any, traceback: Any) -> None:
    user = job.args[0]["data"]["cron_job"]
    effect_at_once(f"{user.name}-{kind.__name__}-{error}")


# tables and s3filestore: a result that a page waits for, and nothing but names


def export(table: str, *, params: dict[str, Any]) -> dict[str, Any]:
    return {"file": f"/tmp/{table}", "rows": len(params["filters"])}
