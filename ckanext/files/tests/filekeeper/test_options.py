"""The options ``ckan.files.storage.NAME.*``, and the storages that they make."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import flask
import pytest
from ckan.common import config, config_declaration
from ckan.exceptions import CkanConfigurationException
from ckan.logic import get_validator
from file_keeper import Location, exc, make_upload

from ckanext.files import capabilities
from ckanext.files.store.storages import get_storage, storages
from ckanext.files.tests.support.load_plugins import plugins_loaded, storage_options
from ckanext.files.tests.support.s3 import s3_options

STORAGE = "ckan.files.storage."

needs_backport = pytest.mark.skipif(
    capabilities.CORE_FILES, reason="CKAN 2.12 reports it only when the storage is used"
)


@pytest.fixture(scope="module", autouse=True)
def loaded(s3: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A portal with several storages."""
    folder = tmp_path_factory.mktemp("storages")
    with plugins_loaded(
        "files",
        **storage_options("own", type="files:fs", path=f"{folder}/own", initialize="yes"),
        **storage_options(
            "strict",
            type="ckan:fs",
            path=f"{folder}/strict",
            initialize="true",
            max_size="1.5 kB",
            supported_types="text/csv  text/plain",
            location_transformers="uuid4",
            disabled_capabilities="COPY MOVE",
            overwrite_existing="false",
            hashing_algorithm="sha256",
        ),
        **storage_options("memory", type="ckan:memory"),
        **storage_options("cloud", type="files:s3", path="below", **s3_options(s3, "of-options")),
        **storage_options("tuned", type="files:s3", **s3_options(s3, "of-options"), config=_JSON),
        **{"ckan.files.owner.cascade_access": "package resource:strict resource:own"},
    ):
        yield


_JSON = '{"max_pool_connections": 3}'


def test_values_have_types() -> None:
    settings = get_storage("strict").settings
    assert settings.max_size == 1500
    assert settings.supported_types == ["text/csv", "text/plain"]
    assert settings.location_transformers == ["uuid4"]
    assert settings.disabled_capabilities == ["COPY", "MOVE"]
    assert settings.overwrite_existing is False
    assert settings.initialize is True
    assert settings.hashing_algorithm == "sha256"


@pytest.mark.parametrize("name", ["own", "memory", "cloud"])
def test_defaults(name: str) -> None:
    settings = get_storage(name).settings
    assert settings.name == name
    assert settings.max_size == -1
    assert settings.supported_types == []
    assert settings.public is False
    assert settings.overwrite_existing is True
    assert settings.hashing_algorithm == "md5"
    assert settings.location_transformers == []
    assert settings.disabled_capabilities == []


def test_storages_by_name() -> None:
    assert {"own", "strict", "memory", "cloud", "tuned", "default"} <= set(storages)
    assert get_storage() is get_storage("default")
    with pytest.raises(exc.UnknownStorageError):
        get_storage("missing")


@pytest.mark.parametrize("name", ["own", "memory", "cloud", "tuned"])
def test_storages_work(name: str) -> None:
    storage = get_storage(name)
    data = storage.upload(Location("a.html"), make_upload(b"<html></html>"))
    with flask.Flask(__name__).test_request_context():
        response = storage.as_response(data, "b.html")
    assert b"".join(response.iter_encoded()) == b"<html></html>"
    assert response.headers["Content-Disposition"].startswith("attachment; filename=")
    assert storage.remove(data)


def test_json_option() -> None:
    assert get_storage("tuned").settings.config == {"max_pool_connections": 3}
    assert get_storage("cloud").settings.config == {}


@pytest.mark.parametrize(
    ("option", "default", "validators"),
    [
        ("inline_content_types", [], "as_list"),
        ("default_storages.default", "default", ""),
        ("owner.transfer_as_update", True, "boolean_validator"),
        ("owner.scan_as_update", True, "boolean_validator"),
        ("authenticated_uploads.allow", False, "boolean_validator"),
        ("authenticated_uploads.storages", [], "as_list"),
        ("storage.own.type", "files:fs", "not_empty"),
        ("storage.own.max_size", -1, "parse_filesize"),
        ("storage.own.supported_types", [], "as_list"),
        ("storage.own.public", False, "boolean_validator"),
        ("storage.own.overwrite_existing", True, "boolean_validator"),
        ("storage.own.initialize", False, "boolean_validator"),
        ("storage.own.path", "", 'not_empty starts_with("/")'),
        ("storage.own.name", "own", ""),
        ("storage.own.hashing_algorithm", "md5", ""),
        ("storage.own.location_transformers", [], "as_list"),
        ("storage.own.disabled_capabilities", [], "as_list"),
        ("storage.own.follow_symlinks", False, "boolean_validator"),
    ],
)
def test_declared_as_by_core(option: str, default: Any, validators: str) -> None:
    declared = config_declaration.get(f"ckan.files.{option}")
    assert declared
    assert (declared.default or default or None) == (default or None)
    assert declared.get_validators().split() == validators.split()
    assert declared.description


def test_options_of_an_adapter_are_declared() -> None:
    pattern = f"{STORAGE}cloud.*"
    declared = {
        str(key).rpartition(".")[2] for key in config_declaration.iter_options(pattern=pattern)
    }
    assert {"bucket", "key", "secret", "region", "endpoint", "config"} <= declared
    assert not {"client", "skip_in_place_move"} & declared


def test_options_are_valid() -> None:
    # CKAN restores the options of the file before each test, without defaults
    config_declaration.make_safe(config)
    assert config_declaration.validate(config)[1] == {}


@needs_backport
def test_access_by_owners_keeps_its_storages() -> None:
    """CKAN 2.12.0 loses them when it reads the options for the second time."""
    for _ in range(2):
        config_declaration.normalize(config)
        assert config["ckan.files.owner.cascade_access"] == {
            "package": set(),
            "resource": {"strict", "own"},
        }


def _tree(options: dict[str, Any]) -> dict[str, Any]:
    if capabilities.CORE_FILES:
        load = import_module("ckan.config.declaration.load")
        return load.config_tree(options, prefix=STORAGE, depth=-1)
    return import_module("ckanext.files.backport.storage").options_of_storages(options)


def test_options_within_options(caplog: pytest.LogCaptureFixture) -> None:
    options = {
        **storage_options("x", **{"type": "t", "params.account": "me", "params.of.it": "a"}),
        **storage_options("y", **{"params": "text", "params.account": "me"}),
        "ckan.files.storages": "z",
    }
    assert _tree(options) == {
        "x": {"type": "t", "params": {"account": "me", "of": {"it": "a"}}},
        "y": {"params": "text"},
    }
    assert "at branch params" in caplog.text


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("package resource:a resource:b", {"package": set(), "resource": {"a", "b"}}),
        ("package:", {"package": {""}}),
        ("package: package:a", {"package": {"", "a"}}),
        ("package:a:b", {"package": {"a:b"}}),
        (["package:"], {"package": {""}}),
        ("user:a", {"user": {"a"}}),
        ("user:", {"user": {""}}),
    ],
)
def test_rules_of_access(text: Any, rules: dict[str, set[str]]) -> None:
    validate: Any = get_validator("cascade_storage_access")
    assert validate(text) == rules


def test_unknown_adapter_is_only_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.WARNING),
        plugins_loaded("files", **storage_options("odd", type="files:floppy")),
    ):
        assert "odd" not in storages
        assert "default" in storages
    warnings = [record.getMessage() for record in caplog.records]
    assert "Unknown storage adapter 'files:floppy' used by the storage 'odd'." in warnings


@pytest.mark.parametrize(
    ("option", "options"),
    [
        ("max_size", {"type": "ckan:fs", "path": "/tmp", "max_size": "huge"}),
        ("path", {"type": "ckan:fs"}),
        ("path", {"type": "ckan:fs", "path": "relative"}),
        ("type", {"path": "/tmp"}),
        ("bucket", {"type": "files:s3"}),
        ("config", {"type": "files:s3", "bucket": "b", "config": "no json"}),
        ("config", {"type": "files:s3", "bucket": "b", "config": "[]"}),
        ("path", {"type": "files:fs", "path": "/nowhere/at/all"}),
        pytest.param(
            "disabled_capabilities",
            {"type": "ckan:memory", "disabled_capabilities": "FLY"},
            marks=needs_backport,
        ),
        pytest.param(
            "location_transformers",
            {"type": "ckan:memory", "location_transformers": "uuid4 rot13"},
            marks=needs_backport,
        ),
        pytest.param(
            "hashing_algorithm",
            {"type": "ckan:memory", "hashing_algorithm": "md7"},
            marks=needs_backport,
        ),
    ],
)
def test_wrong_options_are_named(option: str, options: dict[str, str]) -> None:
    with (
        pytest.raises(CkanConfigurationException, match=rf"\bwrong\b.*\b{option}\b"),
        plugins_loaded("files", **storage_options("wrong", **options)),
    ):
        pass


@pytest.mark.parametrize("value", ["user", "user package"])
def test_files_of_users_are_not_public(value: str) -> None:
    with (
        pytest.raises(CkanConfigurationException, match=r"cascade_access: .*user"),
        plugins_loaded("files", **{"ckan.files.owner.cascade_access": value}),
    ):
        pass


def test_size_may_be_negative_in_the_file() -> None:
    if capabilities.CORE_FILES:
        pytest.skip("CKAN 2.12.0 refuses what its own description names")
    with plugins_loaded("files", **storage_options("free", type="ckan:memory", max_size="-1")):
        assert get_storage("free").settings.max_size == -1
