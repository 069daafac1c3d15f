"""Translating the options of ckanext-files 1.x into ours.

The result is lines for the configuration file, and remarks about options without
an equivalent. An option that has the right value already gets no line. No file is
written.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ckan.config.declaration import Declaration, Key
from file_keeper import adapters
from file_keeper.core.storage import location_transformers

from ckanext.files import capabilities

_OLD = "ckanext.files."
_NEW = "ckan.files."
_STORAGE = "storage."


class OptionsReport(NamedTuple):
    """What the configuration needs."""

    lines: list[str]
    """For the section ``[app:main]`` of the configuration file."""

    remarks: list[str]
    """Options that have no equivalent, or another meaning."""


class _Option(NamedTuple):
    new: str
    old_default: str


# ckanext-files 1.3 has a default for each of these options, which may differ from ours
_OPTIONS = {
    "default_storage": _Option("default_storages.default", "default"),
    "inline_content_types": _Option("inline_content_types", "application/pdf image video"),
    "authenticated_uploads.allow": _Option("authenticated_uploads.allow", "false"),
    "authenticated_uploads.storages": _Option("authenticated_uploads.storages", "default"),
    "owner.cascade_access": _Option("owner.cascade_access", "package resource group organization"),
    "owner.transfer_as_update": _Option("owner.transfer_as_update", "true"),
    "owner.scan_as_update": _Option("owner.scan_as_update", "true"),
}

# storages of CKAN's own uploads, if the storage exists
_OPTIONS_OF_UPLOADS = {
    "user_images_storage": _Option("default_storages.user", "user_images"),
    "group_images_storage": _Option("default_storages.group", "group_images"),
    "resources_storage": _Option("default_storages.resource", "resources"),
}

_ADAPTERS = {
    "files:fs": "ckan:fs",
    "files:public_fs": "ckan:fs",
    "file_keeper:fs": "ckan:fs",
}

# options of storages that older versions of 1.x call by other names
_STORAGE_OPTIONS = {"create_path": "initialize", "override_existing": "overwrite_existing"}

# a browser would run scripts in files of these types
_ACTIVE = ("html", "xml", "javascript", "svg", "flash")


def translate_options(config: Mapping[str, Any], declaration: Declaration) -> OptionsReport:
    """Return what the configuration needs to keep the behaviour of ckanext-files 1.x.

    :param config: CKAN's configuration.
    :param declaration: of all options that this CKAN has.
    """
    # our own options begin with the same prefix, but are declared
    old = {
        key[len(_OLD) :]: _text(value)
        for key, value in config.items()
        if key.startswith(_OLD) and key not in declaration
    }
    report = OptionsReport([], [])
    if not old:
        return report
    storages = _storages(old, report.remarks)
    wanted: dict[str, str] = {}
    wanted.update(_general(old, storages, report.remarks))
    wanted.update(_of_uploads(old, storages, declaration, report.remarks))
    for name, options in storages.items():
        wanted.update(_storage(name, options, config, report.remarks))
    known = {*_OPTIONS, *_OPTIONS_OF_UPLOADS}
    report.remarks.extend(
        f"{_OLD}{name} has no equivalent"
        for name in sorted(old)
        if name not in known and not name.startswith(_STORAGE)
    )
    report.lines.extend(
        _line(name, value)
        for name, value in wanted.items()
        if not _is_so(name, config.get(name), value)
    )
    return report


def _general(
    old: dict[str, str], storages: Mapping[str, Any], remarks: list[str]
) -> Iterator[tuple[str, str]]:
    for name, option in _OPTIONS.items():
        value = old.get(name, option.old_default)
        if name == "inline_content_types":
            value = _full_types(_OLD + name, value, remarks, _is_passive)
        if name == "owner.cascade_access":
            value = _cascade(_OLD + name, value, storages, remarks)
        yield _NEW + option.new, value


def _cascade(where: str, value: str, storages: Mapping[str, Any], remarks: list[str]) -> str:
    words = value.split()
    if capabilities.CORE_FILES:
        kept = [word for word in words if word.partition(":")[0] != "user"]
        if kept != words:
            remarks.append(
                f"{where}: user is left out, it would keep CKAN 2.12.0 from starting. Users have "
                "their own files in any case"
            )
        return " ".join(kept)
    # the option takes user only with the name of a storage
    of_users = " ".join(f"user:{storage}" for storage in storages)
    return " ".join(of_users if word == "user" else word for word in words)


def _of_uploads(
    old: dict[str, str],
    storages: Mapping[str, Any],
    declaration: Declaration,
    remarks: list[str],
) -> Iterator[tuple[str, str]]:
    for name, option in _OPTIONS_OF_UPLOADS.items():
        storage = old.get(name, option.old_default)
        if storage not in storages:
            continue
        if _NEW + option.new in declaration:
            yield _NEW + option.new, storage
        else:
            remarks.append(
                f"{_OLD}{name} = {storage} has no equivalent before CKAN 2.12: "
                "CKAN itself keeps such uploads"
            )


def _storages(old: dict[str, str], remarks: list[str]) -> dict[str, dict[str, str]]:
    """Return the options of each storage that has a type."""
    storages: dict[str, dict[str, str]] = {}
    for key, value in old.items():
        if key.startswith(_STORAGE):
            name, _, option = key[len(_STORAGE) :].partition(".")
            storages.setdefault(name, {})[option] = value
    untyped = [name for name, options in storages.items() if not options.get("type")]
    for name in untyped:
        del storages[name]
        remarks.append(f"{_OLD}{_STORAGE}{name} has no type: its options are left out")
    return storages


def _storage(
    name: str, options: dict[str, str], config: Mapping[str, Any], remarks: list[str]
) -> Iterator[tuple[str, str]]:
    old_prefix, prefix = f"{_OLD}{_STORAGE}{name}.", f"{_NEW}{_STORAGE}{name}."
    old_type = options.pop("type")
    type_ = _adapter(old_type)
    yield prefix + "type", type_
    if old_type == "files:public_fs":
        remarks.append(
            f"{old_prefix}type = {old_type}: its files are downloaded like all others, "
            "by users who may see their owner"
        )
    adapter: Any = adapters.get(type_)
    if adapter is None:
        remarks.append(f"{old_prefix}type = {old_type}: there is no adapter {type_} here")
    known = _declared(adapter, prefix) if adapter else None
    if type_ == "files:redis":
        options = {**_redis(config), **options}
    for old_option, value in options.items():
        option = _STORAGE_OPTIONS.get(old_option, old_option)
        if known is not None and option not in known:
            remarks.append(f"{old_prefix}{old_option} has no equivalent")
        else:
            yield prefix + option, _storage_value(old_prefix + old_option, option, value, remarks)


def _adapter(old: str) -> str:
    new = _ADAPTERS.get(old, old)
    return new.replace("file_keeper:", "files:")


def _declared(adapter: Any, prefix: str) -> set[str]:
    """Return the names of the options of an adapter."""
    declaration = Declaration()
    key = Key.from_string(prefix.rstrip("."))
    adapter.declare_config_options(declaration, key)
    return {str(option)[len(prefix) :] for option in declaration.iter_options()}


def _redis(config: Mapping[str, Any]) -> dict[str, str]:
    # the defaults of ckanext-files 1.3
    return {
        "bucket": f"ckanext:files:{config.get('ckan.site_id', 'default')}:file_content",
        "url": _text(config.get("ckan.redis.url")),
    }


def _storage_value(where: str, option: str, value: str, remarks: list[str]) -> str:
    if option == "supported_types":
        return _full_types(where, value, remarks, lambda _: True)
    if option == "location_transformers":
        unknown = [name for name in value.split() if name not in location_transformers]
        remarks.extend(f"{where}: there is no {name} here" for name in unknown)
    return value


def _full_types(where: str, value: str, remarks: list[str], wanted: Callable[[str], bool]) -> str:
    """Replace words that stand for several types by these types."""
    named = mimetypes.MimeTypes()
    known = sorted({*named.types_map[True].values(), *named.types_map[False].values()})
    types: list[str] = []
    for word in value.split():
        if "/" in word or word == "*":
            types.append(word)
            continue
        meant = [type_ for type_ in known if word in type_.split("/")]
        kept = [type_ for type_ in meant if wanted(type_)]
        types += kept
        less = ", without those that can hold scripts" if kept != meant else ""
        remarks.append(f"{where}: {word} is written out, only full names have an effect{less}")
    return " ".join(types)


def _is_passive(type_: str) -> bool:
    return not any(word in type_ for word in _ACTIVE)


def _line(name: str, value: str) -> str:
    # the configuration file needs an indent for further lines of a value
    value = value.replace("%", "%%").replace("\n", "\n    ")
    return f"{name} = {value}"


def _is_so(name: str, found: Any, wanted: str) -> bool:
    # transformers apply one after the other; the order of other lists does not matter
    arrange = list if name.endswith(".location_transformers") else sorted
    return found is not None and arrange(_text(found).split()) == arrange(wanted.split())


def _text(value: Any) -> str:
    """Return a value, which CKAN may have parsed, as the configuration file has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        words = [
            f"{key}:{name}" if name else str(key)
            for key, names in value.items()
            for name in (names or [""])
        ]
        return " ".join(words)
    if isinstance(value, (list, tuple, set)):
        return " ".join(map(str, value))
    return "" if value is None else str(value).strip()
