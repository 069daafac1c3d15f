"""Make storages of CKAN from the adapters of file-keeper."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import file_keeper as fk
from ckan.config.declaration import Declaration, Key
from file_keeper.default.adapters.fs import FsStorage

from .local import LocalManager, LocalReader, LocalStorage, LocalUploader
from .options import declare_settings
from .safe import SafeReader, SafeStorage


def wrap(adapter: type[fk.Storage], bases: ModuleType) -> Any:
    """Return a storage of CKAN that works as an adapter does.

    :param bases: module with CKAN's ``Storage``, ``Settings``, ``Uploader``,
        ``Reader`` and ``Manager``.
    """
    is_local = issubclass(adapter, FsStorage)
    parts = {
        "SettingsFactory": dataclasses.make_dataclass(
            "Settings", [], bases=(bases.Settings, adapter.SettingsFactory)
        ),
        "UploaderFactory": _joined(
            (LocalUploader,) if is_local else (), bases.Uploader, adapter.UploaderFactory
        ),
        "ReaderFactory": _joined(
            (LocalReader if is_local else SafeReader,), bases.Reader, adapter.ReaderFactory
        ),
        "ManagerFactory": _joined(
            (LocalManager,) if is_local else (), bases.Manager, adapter.ManagerFactory
        ),
    }
    ours = (LocalStorage, _Configured, SafeStorage) if is_local else (_Configured, SafeStorage)
    return _joined(ours, bases.Storage, adapter, __doc__=adapter.__doc__, **parts)


def _joined(ours: tuple[type, ...], base: type, theirs: type, **attributes: Any) -> Any:
    # the bases of CKAN 2.11 have some of ours already
    missing = [part for part in ours if not issubclass(base, part)]
    attributes["__module__"] = __name__
    return type(theirs.__name__, (*missing, base, theirs), attributes)


class _Configured:
    """Storage with the options of an adapter."""

    SettingsFactory: Any

    @classmethod
    def declare_config_options(cls, declaration: Declaration, key: Key) -> None:
        """Declare the options of all storages, and those of the adapter."""
        base: Any = super()
        base.declare_config_options(declaration, key)
        declare_settings(declaration, key, cls.SettingsFactory)

    @classmethod
    def configure(cls, settings: Mapping[str, Any] | fk.Settings) -> fk.Settings:
        """Make the settings; whatever fails is a fault of the configuration."""
        base: Any = super()
        try:
            return base.configure(settings)
        except fk.exc.FilesError:
            raise
        except Exception as error:
            name = settings.name if isinstance(settings, fk.Settings) else settings["name"]
            raise fk.exc.InvalidStorageConfigurationError(name, str(error)) from error
