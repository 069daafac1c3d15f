"""What docutils makes of a document, as a package index renders it.

Docutils is installed with Sphinx, and Sphinx with ``ckan[dev]``.
"""

from __future__ import annotations

from docutils import nodes
from docutils.core import publish_doctree

STRICT = {
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "report_level": 2,
    "warning_stream": False,
}
"""A package index includes no files and no HTML, and refuses what docutils warns of."""


def problems(text: str) -> list[str]:
    """Return the warnings and errors."""
    tree = publish_doctree(text, settings_overrides=STRICT)
    messages = tree.findall(nodes.system_message)
    return [message.astext() for message in messages if message["level"] >= STRICT["report_level"]]


def links(text: str) -> list[str]:
    """Return the targets of all links out of the document."""
    tree = publish_doctree(text, settings_overrides=STRICT)
    found = [node.get("refuri") for node in tree.findall(nodes.reference)]
    return [target for target in found if target]
