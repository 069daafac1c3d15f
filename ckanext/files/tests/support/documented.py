"""The examples of README.rst and docs/, as they stand there."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[4]

PAGES = ("README.rst", *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/*/*.rst")))
"""All documents with examples, as paths in the checkout."""


def blocks(path: str, language: str) -> list[str]:
    """Return the code blocks of a language in a document."""
    text = (ROOT / path).read_text()
    found = re.findall(rf"^\.\. code-block:: {language}\n\n((?:    .*\n|\n)+)", text, re.M)
    return [textwrap.dedent(block).strip() + "\n" for block in found]


def counts(*languages: str) -> dict[tuple[str, str], int]:
    """Return the number of blocks of each page and language, where there are any."""
    found = {
        (path, language): len(blocks(path, language)) for path in PAGES for language in languages
    }
    return {key: count for key, count in found.items() if count}


def run(path: str, number: int) -> dict[str, Any]:
    """Execute a Python block; return what it has defined."""
    source = blocks(path, "python")[number]
    names: dict[str, Any] = {"__name__": f"{__name__}.{Path(path).stem}{number}"}
    exec(compile(source, f"{path}, Python block {number}", "exec"), names)
    return names


def __getattr__(name: str) -> Any:
    """Find a plugin of the examples: entry points name them as attributes of this module."""
    for path in PAGES:
        for number, source in enumerate(blocks(path, "python")):
            if f"class {name}(" in source:
                globals().update(run(path, number))
                return globals()[name]
    raise AttributeError(name)
