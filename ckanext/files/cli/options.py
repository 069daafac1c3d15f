"""Options that several commands have."""

from __future__ import annotations

import click

DRY_RUN = click.option("--dry-run", is_flag=True, help="Only report what the command would do.")

JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document, for programs."
)
