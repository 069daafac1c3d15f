"""A portal that takes uploads, and clients that speak tus with it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model
from ckan.common import config
from ckan.tests import factories
from ckan.tests.helpers import _get_test_app

from ckanext.files.tests.support.effects import Effects, change, look
from ckanext.files.tests.support.load_plugins import plugins_loaded, s3_options, storage_options
from ckanext.files.tests.support.server import CkanServer, CkanServers
from ckanext.files.tests.support.tus import Tus
from ckanext.files.tests.support.users import new_user
from ckanext.files.tests.support.waiting import wait_for

STORAGES = "default folder cloud copied overwritten named pictures small"


@pytest.fixture(scope="package")
def options(s3: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The storages of these tests.

    ``default`` is of CKAN's own type, ``folder`` of ours, ``cloud`` a bucket. ``copied`` and
    ``overwritten`` get the bytes from the spool over a network. ``named`` keeps the names of files,
    ``pictures`` and ``small`` have limits, ``hidden`` is for sysadmins.
    """
    bucket = {"type": "files:s3", **s3_options(s3, "uploads"), "path": "below"}
    unique = {"location_transformers": "uuid4"}
    options = storage_options("cloud", **bucket, **unique)
    place = {"type": "files:redis", "bucket": str(uuid.uuid4()), "url": config["ckan.redis.url"]}
    options |= storage_options("copied", **place, overwrite_existing=False, **unique)
    place = {**place, "bucket": str(uuid.uuid4())}
    options |= storage_options("overwritten", **place, **unique)
    limits: dict[str, dict[str, Any]] = {
        "folder": unique,
        "hidden": unique,
        "named": {"overwrite_existing": False},
        "pictures": {"supported_types": "image/png text/plain", **unique},
        "small": {"max_size": "1kB", **unique},
    }
    root = tmp_path_factory.mktemp("storages")
    for name, settings in limits.items():
        place = {"type": "files:fs", "path": root / name, "initialize": True}
        options |= storage_options(name, **place, **settings)
    options["ckan.files.authenticated_uploads.storages"] = STORAGES
    options["ckanext.files.uploads.path"] = str(root / "spool")
    return options


@pytest.fixture(scope="package", autouse=True)
def loaded(options: dict[str, Any]) -> Iterator[None]:
    """A portal with these storages."""
    with plugins_loaded("files", "files_test_probe", **options):
        yield


@pytest.fixture(scope="package")
def app(loaded: None) -> Any:
    return _get_test_app()


@pytest.fixture(scope="module")
def server(app: Any, lasting_servers: CkanServers) -> CkanServer:
    return lasting_servers.fork(app)


@pytest.fixture
def tus(server: CkanServer) -> Tus:
    """A client of a new user, with an API token."""
    return new_client(server)


@pytest.fixture
def clients(server: CkanServer) -> Callable[[], Tus]:
    """Make clients, each of a user of its own."""
    return lambda: new_client(server)


@pytest.fixture
def taken(effects: Effects) -> Iterator[None]:
    """What :func:`fail_at_commit` writes for an unlucky file is there already."""
    change("INSERT INTO files_test_effect VALUES ('taken')")
    yield
    let_commit()


def let_commit() -> None:
    change("DELETE FROM files_test_effect WHERE name = 'taken'")


def fail_at_commit(name: str) -> None:
    """Let the commit of an unlucky file fail, within a hook."""
    if name.startswith("unlucky"):
        # a constraint that PostgreSQL checks at the COMMIT
        model.Session.execute(sa.text("INSERT INTO files_test_effect VALUES ('taken')"))


def new_client(server: CkanServer, *, sysadmin: bool = False) -> Tus:
    user = new_user(sysadmin=sysadmin)
    return Tus(server.url, user, factories.APIToken(user=user)["token"])


def spooled(url: str) -> Path:
    """Return where the bytes of an upload are that is not complete."""
    return Path(config["ckanext.files.uploads.path"]) / url.rpartition("/")[2]


def folder_of(storage: str) -> Path:
    return Path(config[f"ckan.files.storage.{storage}.path"])


def wait_for_writer(url: str) -> None:
    """Wait until a request receives bytes of an upload."""
    query = "SELECT writer FROM files_upload WHERE id = :id"
    wait_for(lambda: look(query, id=url.rpartition("/")[2]))
