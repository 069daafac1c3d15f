"""The ways to do one piece of work that are compared."""

from __future__ import annotations

import dataclasses

from ckan import model


@dataclasses.dataclass(frozen=True)
class Variant:
    """What a worker process has loaded, and how it does its work."""

    name: str
    plugin: bool = True
    """The plugin ``files`` is enabled."""

    validator: str = "nothing"
    """See ``AttachmentsPlugin.validator``."""

    intents: bool = True
    """Others are told what is about to be written into Solr."""

    calls_transfer: bool = False
    """Calls ``file_ownership_transfer`` for each file after the update."""

    @property
    def plugins(self) -> str:
        return "files files_benchmark" if self.plugin else "files_benchmark"


STOCK = Variant("stock", plugin=False)
STOCK_AGAIN = Variant("stock again", plugin=False)
NO_TASK = Variant("no task")
EMPTY_TASK = Variant("empty task", validator="task")
NO_INTENT = Variant("empty task without intents", validator="task", intents=False)
TRANSFER = Variant("transfer", validator="transfer")
# on CKAN 2.11 the action comes with the plugin
TWO_CALLS = Variant("two calls", plugin=not hasattr(model, "File"), calls_transfer=True)

VARIANTS = {
    variant.name: variant
    for variant in (STOCK, STOCK_AGAIN, NO_TASK, EMPTY_TASK, NO_INTENT, TRANSFER, TWO_CALLS)
}
