"""Options that several commands have."""

from __future__ import annotations

from typing import Any

import click

from ckanext.files.hint import with_hint

_Choice: Any = click.Choice
"""A generic class since click 8.2 only."""


class HintedChoice(_Choice):
    """A choice whose error suggests a similar word."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            self.fail(with_hint(error.message, value, self.choices), param, ctx)


DRY_RUN = click.option("--dry-run", is_flag=True, help="Only report what the command would do.")

JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document, for programs."
)
