"""The role ``:src:`` names a place in the code: ``queue/queue.py::add_task``.

The build warns when the module, or the function or class in it, does not exist.
"""

from __future__ import annotations

import ast
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

ROOT = Path(__file__).parents[2] / "ckanext/files"


def exists(place: str) -> bool:
    """Return whether a place is in the code: ``module.py::Class.method``, or a file alone."""
    name, _, path = place.partition("::")
    file = ROOT / name
    return file.exists() and (not path or _is_defined(file, path.split(".")))


def _is_defined(file: Path, path: list[str]) -> bool:
    body = ast.parse(file.read_text()).body if file.suffix == ".py" else []
    for name in path:
        found = [node for node in body if name in _names(node)]
        if not found:
            return False
        body = getattr(found[0], "body", [])
    return True


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


class SourceRole(SphinxRole):
    """A place in the code, as a literal."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        messages = []
        if not exists(self.text):
            messages.append(self.inliner.reporter.warning(f"{self.text} is not in the code"))
        return [nodes.literal(self.rawtext, self.text)], messages


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the role."""
    app.add_role("src", SourceRole())
    return {"parallel_read_safe": True}
