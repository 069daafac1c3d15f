"""The commands ``ckan files ...``."""

from __future__ import annotations

import click

from .claim import claim
from .repair import check, repair_index
from .takeover import takeover
from .to_core import to_core
from .uploads import expire_uploads

__all__ = ["get_commands"]


class FilesGroup(click.Group):
    """The group, which names the plugin of the commands that are not loaded."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        is_absent = args[:1] == ["background"] and "background" not in self.commands
        if is_absent and not ctx.resilient_parsing:  # which completion in a shell needs
            ctx.fail(
                "The plugin files_background has these commands:"
                " write ckan.plugins = files files_background"
            )
        return super().resolve_command(ctx, args)


@click.group(cls=FilesGroup)
def files() -> None:
    """Check files, take them over from elsewhere, and move them to CKAN's own tables.

    The exit code of each command is 0 when all is done and nothing is wrong, 1 when
    the command has found or could not do something, which it prints, and 2 when
    the command line is wrong.
    """


for command in (check, claim, expire_uploads, repair_index, takeover, to_core):
    files.add_command(command)


def get_commands() -> list[click.Command]:
    """Return the commands that the plugin adds to CKAN's."""
    return [files]
