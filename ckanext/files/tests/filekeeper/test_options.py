"""The options ``ckan.files.storage.NAME.*``, and the storages that they make."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from ckan.common import config, config_declaration
from ckan.logic import get_validator
from file_keeper import exc

from ckanext.files import capabilities
from ckanext.files.store.storages import get_storage, storages
from ckanext.files.tests.support.load_plugins import plugins_loaded, s3_options, storage_options

STORAGE = "ckan.files.storage."


@pytest.fixture(scope="module", autouse=True)
def loaded(s3: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A portal with several storages."""
    folder, bucket = tmp_path_factory.mktemp("storages"), s3_options(s3, "of-options")
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
        **storage_options("cloud", type="files:s3", path="below", **bucket),
        **storage_options("tuned", type="files:s3", **bucket, config='{"max_pool_connections": 3}'),
        **{"ckan.files.owner.cascade_access": "package resource:strict resource:own"},
    ):
        yield


def test_values_have_types() -> None:
    settings = get_storage("strict").settings
    assert settings.max_size == 1500
    assert settings.supported_types == ["text/csv", "text/plain"]
    assert settings.location_transformers == ["uuid4"]
    assert settings.disabled_capabilities == ["COPY", "MOVE"]
    assert settings.overwrite_existing is False
    assert settings.initialize is True
    assert settings.hashing_algorithm == "sha256"
    assert get_storage("tuned").settings.config == {"max_pool_connections": 3}
    assert get_storage("cloud").settings.config == {}


def test_defaults() -> None:
    for name in ("own", "memory", "cloud"):
        settings = get_storage(name).settings
        assert settings.name == name
        assert settings.max_size == -1
        assert settings.hashing_algorithm == "md5"
        assert (settings.public, settings.overwrite_existing) == (False, True)
        for option in ("supported_types", "location_transformers", "disabled_capabilities"):
            assert getattr(settings, option) == []


def test_storages_by_name() -> None:
    assert {"own", "strict", "memory", "cloud", "tuned", "default"} <= set(storages)
    assert get_storage() is get_storage("default")
    with pytest.raises(exc.UnknownStorageError):
        get_storage("missing")


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


def test_options_are_declared_and_valid() -> None:
    declared = config_declaration.iter_options(pattern=f"{STORAGE}cloud.*")
    names = {str(key).rpartition(".")[2] for key in declared}
    assert {"bucket", "key", "secret", "region", "endpoint", "config"} <= names
    assert not {"client", "skip_in_place_move"} & names
    # CKAN restores the options of the file before each test, without defaults
    config_declaration.make_safe(config)
    assert config_declaration.validate(config)[1] == {}


@pytest.mark.skipif(capabilities.CORE_FILES, reason="CKAN 2.12.0 loses them at the second time")
def test_access_by_owners_keeps_its_storages() -> None:
    """However often CKAN reads the options."""
    for _ in range(2):
        config_declaration.normalize(config)
        assert config["ckan.files.owner.cascade_access"] == {
            "package": set(),
            "resource": {"strict", "own"},
        }


def test_options_within_options(caplog: pytest.LogCaptureFixture) -> None:
    options = {
        **storage_options("x", **{"type": "t", "params.account": "me", "params.of.it": "a"}),
        **storage_options("y", **{"params": "text", "params.account": "me"}),
        "ckan.files.storages": "z",
    }
    if capabilities.CORE_FILES:
        load = import_module("ckan.config.declaration.load")
        tree = load.config_tree(options, prefix=STORAGE, depth=-1)
    else:
        tree = import_module("ckanext.files.backport.storage").options_of_storages(options)
    assert tree == {
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
