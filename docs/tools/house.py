"""Draws the house from its imports: ``python docs/tools/house.py`` writes ``learning/house.svg``.

A box is a package or a module of ``ckanext.files``, without leaves: modules that import no other
part. An arrow points to what a part imports, unless another arrow leads there already.
"""

from __future__ import annotations

import ast
import re
from importlib.util import resolve_name
from itertools import groupby, pairwise
from pathlib import Path
from textwrap import wrap

Graph = dict[str, set[str]]
Place = tuple[float, float]

Stop = tuple[int, str, str]
"""A row and a box in it, or a row and an arrow that passes it from one box to another one."""

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
PACKAGE = ROOT / "ckanext/files"
PICTURE = DOCS / "learning/house.svg"

WIDTH, HEIGHT = 136, 34
"""The size of a box, in pixels."""

COLUMN, ROW, GAP, MARGIN = 152, 74, 20, 12
"""The distances between boxes, the space for an arrow beside boxes, and that around all."""

LETTER = 10
"""The most that a letter takes on average, in pixels."""

STYLE = (
    "text { font: 14px sans-serif; text-anchor: middle; fill: #222 } "
    "rect { fill: #fff; stroke: #456; rx: 6px } "
    ".leaf { fill: #eef2f5; stroke: none } "
    ".arrow { fill: none; stroke: #789; marker-end: url(#tip) }"
)


def parts() -> Graph:
    """Return each part, with the parts that it imports."""
    found = part_paths()
    return {name: imported_parts(path) & set(found) - {name} for name, path in found.items()}


def part_paths() -> dict[str, Path]:
    """Return the package or module of each part."""
    return {
        path.stem: path
        for path in sorted(PACKAGE.iterdir())
        if path.name not in {"tests", "__init__.py"}
        and (path.suffix == ".py" or list(path.glob("*.py")))
    }


def imported_parts(path: Path) -> set[str]:
    """Return what the modules of a part import of ``ckanext.files``, its tests included."""
    names: set[str] = set()
    for module in [path] if path.suffix else path.rglob("*.py"):
        package = ".".join(module.relative_to(ROOT).parts[:-1])
        for node in ast.walk(ast.parse(module.read_text())):
            names.update(_named(node, package))
    prefix = "ckanext.files."
    return {name.removeprefix(prefix).split(".")[0] for name in names if name.startswith(prefix)}


def imported_names(node: ast.AST, package: str) -> list[str]:
    """Return what a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = resolve_name("." * node.level + (node.module or ""), package)
        return [f"{base}.{alias.name}" for alias in node.names]
    return []


def _named(node: ast.AST, package: str) -> list[str]:
    """Return what a statement imports; a text with the path of a module is for import_module."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        is_path = re.fullmatch(r"ckanext(\.\w+)+", node.value)
        return [node.value] if is_path and _is_module(node.value) else []
    return imported_names(node, package)


def reduced(graph: Graph) -> Graph:
    """Leave out an arrow where a longer way leads to the same part."""
    return {
        part: {each for each in below if not _leads(graph, below - {each}, each)}
        for part, below in graph.items()
    }


def _leads(graph: Graph, starts: set[str], goal: str) -> bool:
    return any(goal in graph[each] or _leads(graph, graph[each], goal) for each in starts)


def depths(graph: Graph) -> dict[str, int]:
    """Return the row of each part, from the top: it stands above all that it imports."""
    found: dict[str, int] = {}

    def measure(part: str) -> int:
        if part not in found:
            found[part] = 1 + max(map(measure, graph[part]), default=-1)
        return found[part]

    highest = max(map(measure, graph))
    return {part: highest - depth for part, depth in sorted(found.items())}


def routes(graph: Graph, row: dict[str, int]) -> list[list[Stop]]:
    """Return the way of each arrow: from box to box, with a stop in each row that it passes."""
    return [
        [
            (row[part], part, part),
            *((number, part, below) for number in range(row[part] + 1, row[below])),
            (row[below], below, below),
        ]
        for part in row
        for below in sorted(graph[part])
    ]


def places(stops: set[Stop], ways: list[list[Stop]]) -> dict[Stop, Place]:
    """Return the middle of each box and stop, near to those above that lead there."""
    before: dict[Stop, list[Stop]] = {}
    for way in ways:
        for above, stop in pairwise(way):
            before.setdefault(stop, []).append(above)
    found: dict[Stop, Place] = {}
    levels = [list(level) for _, level in groupby(sorted(stops), key=lambda stop: stop[0])]
    width = max(sum(map(_width, level)) for level in levels)

    def wanted(stop: Stop) -> float:
        above = [found[each][0] for each in before.get(stop, [])]
        return sum(above) / len(above) if above else width / 2

    for number, level in enumerate(levels):
        x = MARGIN + (width - sum(map(_width, level))) / 2
        for stop in sorted(level, key=lambda stop: (wanted(stop), stop)):
            found[stop] = (x + _width(stop) / 2, MARGIN + HEIGHT / 2 + number * ROW)
            x += _width(stop)
    return found


def _width(stop: Stop) -> int:
    return COLUMN if stop[1] == stop[2] else GAP


def draw() -> str:
    """Return the picture."""
    graph = parts()
    leaves = sorted(part for part, below in graph.items() if not below and _is_leaf(part))
    graph = {part: below - set(leaves) for part, below in graph.items() if part not in leaves}
    graph = reduced(graph)
    row = depths(graph)
    ways = routes(graph, row)
    stops = {(row[part], part, part) for part in graph}.union(*ways)
    found = places(stops, ways)
    width = max(x + _width(stop) / 2 for stop, (x, _) in found.items()) + MARGIN
    bottom = max(y for _, y in found.values()) + ROW
    lines = [_arrow([found[stop] for stop in way]) for way in ways]
    lines += [_box(stop[1], *found[stop]) for stop in sorted(stops) if stop[1] == stop[2]]
    names = wrap(", ".join(leaves), int(width / LETTER))
    lines += _leaves(names, width, bottom)
    return _svg(lines, width, bottom + (len(names) - 0.5) * HEIGHT + MARGIN)


def _is_leaf(part: str) -> bool:
    return _is_module(f"ckanext.files.{part}")


def _is_module(name: str) -> bool:
    return (ROOT / f"{name.replace('.', '/')}.py").exists()


def _svg(lines: list[str], width: float, height: float) -> str:
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}">
<style>{STYLE}</style>
<marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">
<path d="M0 0L8 4L0 8z" fill="#789"/>
</marker>
<rect width="{width:.0f}" height="{height:.0f}" style="stroke: none"/>
{chr(10).join(lines)}
</svg>
"""


def _box(part: str, x: float, y: float) -> str:
    return (
        f'<rect x="{x - WIDTH / 2:.0f}" y="{y - HEIGHT / 2:.0f}" width="{WIDTH}"'
        f' height="{HEIGHT}"/><text x="{x:.0f}" y="{y + 5:.0f}">{part}</text>'
    )


def _arrow(way: list[Place]) -> str:
    (x, y), *others = way
    path = f"M{x:.0f} {y + HEIGHT / 2:.0f}"
    for number, (to_x, to_y) in enumerate(others, 1):
        start, end = y + HEIGHT / 2, to_y - HEIGHT / 2
        middle = (start + end) / 2
        path += f"C{x:.0f} {middle:.0f} {to_x:.0f} {middle:.0f} {to_x:.0f} {end:.0f}"
        if number < len(others):
            path += f"V{to_y + HEIGHT / 2:.0f}"
        x, y = to_x, to_y
    return f'<path class="arrow" d="{path}"/>'


def _leaves(lines: list[str], width: float, y: float) -> list[str]:
    return [
        f'<rect class="leaf" x="{MARGIN}" y="{y - HEIGHT / 2:.0f}"'
        f' width="{width - 2 * MARGIN:.0f}" height="{len(lines) * HEIGHT}"/>',
        *(
            f'<text x="{width / 2:.0f}" y="{y + number * HEIGHT + 5:.0f}">{line}</text>'
            for number, line in enumerate(lines)
        ),
    ]


if __name__ == "__main__":
    PICTURE.write_text(draw())
