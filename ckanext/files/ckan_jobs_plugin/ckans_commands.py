"""CKAN's own ``ckan jobs``: it prints errors of the background as ``ckan files`` does."""

from __future__ import annotations

from ckan.cli.jobs import jobs

from ckanext.files.background_plugin.cli import BackgroundGroup

_CKANS = type(jobs)


def install() -> None:
    """Let the commands print one line for such an error, until :func:`uninstall`."""
    jobs.__class__ = BackgroundGroup


def uninstall() -> None:
    """Give the commands back what they had."""
    jobs.__class__ = _CKANS
