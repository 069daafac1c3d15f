"""The commands ``ckan files ...``."""

from __future__ import annotations

import click

from .claim import claim
from .repair import check, repair_index
from .takeover import takeover
from .to_core import to_core
from .uploads import expire_uploads

__all__ = ["get_commands"]


_PLUGINS = {
    "background": "files files_background",
    "jobs": "files files_background files_jobs",
}
"""What loads the groups of commands that are not always there."""


class FilesGroup(click.Group):
    """The group, which names the plugin of the commands that are not loaded."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        plugins = _PLUGINS.get(args[0]) if args and args[0] not in self.commands else None
        if plugins and not ctx.resilient_parsing:  # which completion in a shell needs
            ctx.fail(
                f"The plugin {plugins.split()[-1]} has these commands:"
                f" write ckan.plugins = {plugins}"
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
