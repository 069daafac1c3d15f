"""The commands ``ckan files ...``."""

from __future__ import annotations

import click

from .claim import claim
from .repair import check, repair_index
from .upgrade import takeover, to_core
from .uploads import expire_uploads

__all__ = ["get_commands"]


class FilesGroup(click.Group):
    """The group, which names the plugin of the commands that are not loaded."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[:1] == ["background"] and "background" not in self.commands:
            ctx.fail(
                "The plugin files_background has these commands:"
                " write ckan.plugins = files files_background"
            )
        return super().resolve_command(ctx, args)


@click.group(cls=FilesGroup)
def files() -> None:
    """Check files, take them over from elsewhere, and move them to CKAN's own tables."""


for command in (check, claim, expire_uploads, repair_index, takeover, to_core):
    files.add_command(command)


def get_commands() -> list[click.Command]:
    """Return the commands that the plugin adds to CKAN's."""
    return [files]
