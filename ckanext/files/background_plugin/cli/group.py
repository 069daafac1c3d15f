"""The group ``ckan files background``."""

from __future__ import annotations

from typing import Any

import click

from ckanext.files.background.errors import BackgroundError


class BackgroundGroup(click.Group):
    """Its commands tell what is wrong, as ``Error: ...`` and with the exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BackgroundError as error:
            raise click.ClickException(str(error)) from error
