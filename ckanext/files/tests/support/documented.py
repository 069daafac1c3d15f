"""The examples of README.rst and docs/, as they stand there."""

from __future__ import annotations

import configparser
import re
import textwrap
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.core import publish_doctree

ROOT = Path(__file__).parents[4]

PAGES = ("README.rst", *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/*/*.rst")))
"""All documents with examples, as paths in the checkout."""


def blocks(path: str, language: str) -> list[str]:
    """Return the code blocks of a language in a document."""
    text = (ROOT / path).read_text()
    found = re.findall(rf"^\.\. code-block:: {language}\n\n((?:    .*\n|\n)+)", text, re.M)
    return [textwrap.dedent(block).strip() + "\n" for block in found]


def counts(*languages: str) -> dict[str, dict[str, int]]:
    """Return the number of blocks of each language, for each page that has any."""
    found = {
        path: {name: count for name in languages if (count := len(blocks(path, name)))}
        for path in PAGES
    }
    return {path: numbers for path, numbers in found.items() if numbers}


def options(*paths: str) -> dict[str, str]:
    """Return the options of all ini blocks of these documents."""
    return options_of(*(block for path in paths for block in blocks(path, "ini")))


def options_of(*ini_blocks: str) -> dict[str, str]:
    """Return the options of ini blocks; a later block has the last word."""
    parser = configparser.RawConfigParser()
    for block in ini_blocks:
        parser.read_string("[app]\n" + block)
    return dict(parser["app"])


def run(path: str, number: int) -> dict[str, Any]:
    """Execute a Python block; return what it has defined."""
    source = blocks(path, "python")[number]
    names: dict[str, Any] = {"__name__": f"{__name__}.{Path(path).stem}{number}"}
    exec(compile(source, f"{path}, Python block {number}", "exec"), names)
    return names


def install(folder: Path, plugins: str, groups: str = "") -> None:
    """Let Python find entry points when the folder is in its path, as if a package were installed.

    :param plugins: entry points of CKAN's plugins, one a line.
    :param groups: other groups of entry points, as in ``entry_points.txt``.
    """
    information = folder / "example-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: example\nVersion: 1\n")
    (information / "entry_points.txt").write_text(f"[ckan.plugins]\n{plugins}\n{groups}")


# Docutils is installed with Sphinx, and Sphinx with ckan[dev]
_STRICT = {
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "report_level": 2,
    "warning_stream": False,
}
"""A package index includes no files and no HTML, and refuses what docutils warns of."""


def problems(text: str) -> list[str]:
    """Return the warnings and errors."""
    tree = publish_doctree(text, settings_overrides=_STRICT)
    messages = tree.findall(nodes.system_message)
    return [message.astext() for message in messages if message["level"] >= _STRICT["report_level"]]


def links(text: str) -> list[str]:
    """Return the targets of all links out of the document."""
    tree = publish_doctree(text, settings_overrides=_STRICT)
    found = [node.get("refuri") for node in tree.findall(nodes.reference)]
    return [target for target in found if target]


def __getattr__(name: str) -> Any:
    """Find a plugin of the examples: entry points name them as attributes of this module."""
    for path in PAGES:
        for number, source in enumerate(blocks(path, "python")):
            if f"class {name}(" in source:
                globals().update(run(path, number))
                return globals()[name]
    raise AttributeError(name)
