"""Make storages of CKAN from the adapters of file-keeper, and declare their options.

Each function takes ``bases``: the module with CKAN's ``Storage``, ``Settings``, ``Uploader``,
``Reader`` and ``Manager``.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import file_keeper as fk
from ckan.config.declaration import Declaration, Key
from file_keeper import default
from file_keeper.default.adapters.fs import FsStorage

from .local import LocalManager, LocalReader, LocalStorage, LocalUploader
from .safe import SafeReader, SafeStorage

_NO_STORAGES = frozenset({"proxy"})
"""A proxy has the methods of a storage, but no settings that could be wrapped."""

_FOR_TESTS = frozenset({"memory", "null"})
"""CKAN itself offers these to its tests, as ``ckan:memory`` and ``ckan:null``."""

_COMMON = frozenset(field.name for field in dataclasses.fields(fk.Settings))


def adapters(bases: ModuleType) -> dict[str, Any]:
    """Return the adapters ``files:s3``, ``files:azure_blob`` and so on."""
    return {
        f"files:{name}": adapter
        for name, adapter in all_adapters(bases).items()
        if name not in _FOR_TESTS
    }


@functools.cache
def all_adapters(bases: ModuleType) -> dict[str, Any]:
    """Return the adapters that file-keeper itself offers, where the libraries are installed."""
    registry: fk.Registry[type[fk.Storage]] = fk.Registry()
    default.register_adapters(registry)
    by_name = {name.partition(":")[2]: registry[name] for name in registry}
    return {
        name: _wrap(adapter, bases) for name, adapter in by_name.items() if name not in _NO_STORAGES
    }


def _wrap(adapter: type[fk.Storage], bases: ModuleType) -> Any:
    """Return a storage class of CKAN that works as the adapter does."""
    is_local = issubclass(adapter, FsStorage)
    parts = {
        "SettingsFactory": dataclasses.make_dataclass(
            "Settings", [], bases=(bases.Settings, adapter.SettingsFactory)
        ),
        "UploaderFactory": _join(
            (LocalUploader,) if is_local else (), bases.Uploader, adapter.UploaderFactory
        ),
        "ReaderFactory": _join(
            (LocalReader if is_local else SafeReader,), bases.Reader, adapter.ReaderFactory
        ),
        "ManagerFactory": _join(
            (LocalManager,) if is_local else (), bases.Manager, adapter.ManagerFactory
        ),
    }
    ours = (LocalStorage, _Configured, SafeStorage) if is_local else (_Configured, SafeStorage)
    return _join(ours, bases.Storage, adapter, __doc__=adapter.__doc__, **parts)


def _join(ours: tuple[type, ...], base: type, theirs: type, **attributes: Any) -> Any:
    # the bases of CKAN 2.11 include some of ours already
    missing = [part for part in ours if not issubclass(base, part)]
    attributes["__module__"] = __name__
    return type(theirs.__name__, (*missing, base, theirs), attributes)


class _Configured:
    """Storage with the options of an adapter."""

    SettingsFactory: Any

    @classmethod
    def declare_config_options(cls, declaration: Declaration, key: Key) -> None:
        """Declare the options of all storages, and those that only this adapter has."""
        base: Any = super()
        base.declare_config_options(declaration, key)
        for field in dataclasses.fields(cls.SettingsFactory):
            option = getattr(key, field.name)
            if field.name not in _COMMON and option not in declaration:
                _declare(declaration, option, field)

    @classmethod
    def configure(cls, settings: Mapping[str, Any] | fk.Settings) -> fk.Settings:
        """Make the settings; report any failure as a fault of the configuration."""
        base: Any = super()
        try:
            return base.configure(settings)
        except fk.exc.FilesError:
            raise
        except Exception as error:
            name = settings.name if isinstance(settings, fk.Settings) else settings["name"]
            raise fk.exc.InvalidStorageConfigurationError(name, str(error)) from error


def _declare(declaration: Declaration, key: Key, field: dataclasses.Field[object]) -> None:
    """Declare one option; a setting that only code can give, such as a connection, is none."""
    # file-keeper's modules keep their annotations as text
    kind = str(field.type).removesuffix(" | None")
    if kind == "bool":
        option = declaration.declare_bool(key, bool(field.default))
    elif kind == "int":
        number = field.default if isinstance(field.default, int) else 0
        option = declaration.declare_int(key, number)
    elif kind == "str":
        option = declaration.declare(key, field.default)
    elif kind.startswith("dict["):
        option = declaration.declare(key, "{}")
        option.set_validators("convert_to_json_if_string dict_only")
    else:
        return
    form = "as a JSON object, " if kind.startswith("dict[") else ""
    option.set_description(f"`{field.name}` of file-keeper's adapter, {form}see its documentation.")
