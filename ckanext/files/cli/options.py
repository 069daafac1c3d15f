"""Options and types of arguments that several commands have."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from ckanext.files.store.storages import storages

DRY_RUN = click.option("--dry-run", is_flag=True, help="Only report what the command would do.")

JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document, for programs."
)


class StorageName(click.ParamType):
    """The name of a storage. A shell completes those that are configured."""

    name = "storage"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return complete(list(storages), incomplete)


def complete(words: list[str], incomplete: str) -> list[CompletionItem]:
    """Return the words with which a shell may go on."""
    return [CompletionItem(word) for word in sorted(words) if word.startswith(incomplete)]
