"""The translation of the options of ckanext-files 1.x."""

from __future__ import annotations

from configparser import ConfigParser
from typing import Any

import pytest
from ckan.common import config, config_declaration

from ckanext.files import capabilities
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.upgrade.old_options import OptionsReport, translate_options

loaded = load_plugins("files")


def translate(**options: Any) -> OptionsReport:
    """Translate a configuration that has these options; dots are written as two underscores."""
    old = {f"ckanext.files.{name.replace('__', '.')}": value for name, value in options.items()}
    return translate_options({**config, "ckan.site_id": "portal", **old}, config_declaration)


def of_storage(**options: Any) -> OptionsReport:
    """Translate the options of a storage; leave the general ones out."""
    report = translate(**{f"storage__s__{name}": value for name, value in options.items()})
    prefix = "ckan.files.storage.s."
    lines = [line[len(prefix) :] for line in report.lines if line.startswith(prefix)]
    remarks = [text for text in report.remarks if "storage.s." in text]
    return OptionsReport(lines, remarks)


def test_defaults() -> None:
    """A portal without these options had the defaults of 1.x, some of which differ from ours."""
    assert translate() == ([], [])
    lines = translate(default_storage="default").lines
    assert [line.split(" = ")[0] for line in lines] == [
        "ckan.files.inline_content_types",
        "ckan.files.authenticated_uploads.allow",
    ]
    assert "ckan.files.authenticated_uploads.allow = false" in lines
    like_ours = translate(
        inline_content_types="",
        authenticated_uploads__allow="true",
        authenticated_uploads__storages="default",
        owner__cascade_access="organization group resource package",
    )
    assert like_ours == ([], [])


def test_general_options() -> None:
    same = {
        "inline_content_types": "text/plain",
        "authenticated_uploads.allow": "false",
        "authenticated_uploads.storages": "a b",
        "owner.cascade_access": "package",
        "owner.transfer_as_update": "false",
        "owner.scan_as_update": "false",
    }
    lines = [f"ckan.files.{name} = {value}" for name, value in same.items()]
    lines = ["ckan.files.default_storages.default = mine", *lines]
    assert translate(default_storage="mine", **same) == (lines, [])


def test_several_lines() -> None:
    """The lines can be pasted into the configuration file."""
    report = translate(
        authenticated_uploads__storages="\ndefault\nother",
        storage__s__type="files:fs",
        storage__s__location_transformers="\ndatetime_prefix\n\nuuid",
    )
    file = ConfigParser()
    file.read_string("\n".join(["[app:main]", *report.lines]))
    read = file["app:main"]
    assert read["ckan.files.authenticated_uploads.storages"].split() == ["default", "other"]
    transformers = read["ckan.files.storage.s.location_transformers"]
    assert transformers.split() == ["datetime_prefix", "uuid"]


def test_files_of_users() -> None:
    """Files of users need the name of a storage, with which CKAN 2.12.0 does not start."""
    report = translate(
        owner__cascade_access="package user",
        storage__a__type="files:fs",
        storage__b__type="files:fs",
    )
    of_users = "" if capabilities.CORE_FILES else " user:a user:b"
    assert f"ckan.files.owner.cascade_access = package{of_users}" in report.lines
    assert any("from starting" in text for text in report.remarks) == capabilities.CORE_FILES


def test_order_of_transformers() -> None:
    name = "ckan.files.storage.s.location_transformers"
    old = {
        "ckanext.files.storage.s.type": "files:fs",
        "ckanext.files.storage.s.location_transformers": "datetime_prefix uuid",
    }
    swapped = translate_options({**old, name: ["uuid", "datetime_prefix"]}, config_declaration)
    assert f"{name} = datetime_prefix uuid" in swapped.lines
    same = translate_options({**old, name: ["datetime_prefix", "uuid"]}, config_declaration)
    assert not [line for line in same.lines if line.startswith(name)]


def test_types_are_written_out() -> None:
    report = translate(inline_content_types="image application/pdf")
    (line,) = [line for line in report.lines if "inline" in line]
    assert "image/png" in line
    assert "application/pdf" in line
    assert "svg" not in line
    (remark,) = report.remarks
    assert "image is written out" in remark
    assert "without those that can hold scripts" in remark
    (line,) = of_storage(type="files:fs", supported_types="image pdf").lines[1:]
    assert "image/svg+xml" in line
    assert "application/pdf" in line


# the options of a storage, ours without their prefix, and parts of the remarks
STORAGES: dict[str, tuple[dict[str, str], list[str], list[str]]] = {
    "on local disk": (
        {
            "type": "files:fs",
            "path": "/data/100%",
            "create_path": "true",
            "override_existing": "false",
            "max_size": "10MB",
            "location_transformers": "uuid4",
        },
        [
            "type = ckan:fs",
            "path = /data/100%%",
            "initialize = true",
            "overwrite_existing = false",
            "max_size = 10MB",
            "location_transformers = uuid4",
        ],
        [],
    ),
    "options that were removed": (
        {
            "type": "files:public_fs",
            "path": "/data",
            "public_prefix": "/",
            "location_transformers": "own uuid4",
        },
        ["type = ckan:fs", "path = /data", "location_transformers = own uuid4"],
        ["downloaded like all others", "public_prefix has no equivalent", "there is no own here"],
    ),
    "fs of file-keeper": ({"type": "file_keeper:fs"}, ["type = ckan:fs"], []),
    "zip of file-keeper": ({"type": "file_keeper:zip"}, ["type = files:zip"], []),
    "adapter that is not here": (
        {"type": "files:unheard", "colour": "blue"},
        ["type = files:unheard", "colour = blue"],
        ["there is no adapter files:unheard here"],
    ),
}


@pytest.mark.parametrize(("options", "lines", "remarks"), STORAGES.values(), ids=STORAGES)
def test_storage(options: dict[str, str], lines: list[str], remarks: list[str]) -> None:
    report = of_storage(**options)
    assert report.lines == lines
    for expected, remark in zip(remarks, report.remarks, strict=True):
        assert expected in remark


def test_defaults_of_redis() -> None:
    lines = of_storage(type="files:redis").lines
    assert "bucket = ckanext:files:portal:file_content" in lines
    assert f"url = {config['ckan.redis.url']}" in lines


def test_storages_of_uploads() -> None:
    report = translate(resources_storage="r", storage__r__type="files:fs")
    line = "ckan.files.default_storages.resource = r"
    assert (line in report.lines) == capabilities.CORE_FILES
    assert any("before CKAN 2.12" in text for text in report.remarks) != capabilities.CORE_FILES


def test_options_that_are_left_out() -> None:
    options = {"colour": "blue", "enable_resource_migration_template_patch": "true"}
    report = translate(**options, storage__s__path="/data")
    assert not [line for line in report.lines if ".storage." in line]
    assert [text for text in report.remarks if "inline" not in text] == [
        "ckanext.files.storage.s has no type: its options are left out",
        "ckanext.files.colour has no equivalent",
        "ckanext.files.enable_resource_migration_template_patch has no equivalent",
    ]


def test_twice() -> None:
    """A line that the configuration has already is not printed again."""
    old = {"storage__default__type": "files:fs", "storage__default__max_size": "-1"}
    assert not [line for line in translate(**old).lines if ".storage.default." in line]
