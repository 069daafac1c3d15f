"""Directives that make the pages of the reference from the code."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from ckan.config.declaration import Declaration, Key
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import nested_parse_with_titles
from sphinx.util.rst import escape


def options(module: str) -> str:
    """Return what the function ``declare`` of a module declares, as CKAN prints it."""
    declaration = Declaration()
    import_module(module).declare(declaration, Key())
    return declaration.into_docs()


def rooms(package: str) -> str:
    """Return the packages and modules of a package, with the first lines of their docstrings."""
    [folder] = import_module(package).__path__
    packages = {path.parent for path in Path(folder).glob("*/__init__.py")}
    modules = set(Path(folder).glob("*.py")) - {Path(folder, "__init__.py")}
    return "\n\n".join(
        f"``{path.stem}``\n{_indented(_first_lines(path))}"
        for path in sorted(packages | modules)
        if path.name != "tests"
    )


def _first_lines(path: Path) -> str:
    """Return the first paragraph of the docstring of a package or module."""
    module = path / "__init__.py" if path.is_dir() else path
    return (ast.get_docstring(ast.parse(module.read_text())) or "...").split("\n\n")[0]


def actions(module: str) -> str:
    """Return the actions of a module with their docstrings, without those that it only chains."""
    found = {name: getattr(import_module(module), name) for name in import_module(module).__all__}
    return "\n".join(
        f".. py:function:: {name}(context, data_dict)\n\n{_docstring(action)}\n"
        for name, action in sorted(found.items())
        if not getattr(action, "chained_action", False)
    )


def commands(module: str) -> str:
    """Return the commands that the function ``get_commands`` of a module makes."""
    return "\n".join(
        _command(path, command)
        for group in import_module(module).get_commands()
        for path, command in _walk(f"ckan {group.name}", group)
    )


def _walk(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name, inner in sorted(command.commands.items()):
        yield from _walk(f"{path} {name}", inner)


def _command(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    records = [
        record
        for parameter in command.get_params(context)
        if (record := parameter.get_help_record(context)) and "--help" not in record[0]
    ]
    described = "".join(f"``{name}``\n    {escape(text) or '...'}\n\n" for name, text in records)
    return f"{path}\n{'-' * len(path)}\n\n::\n\n    {usage}\n\n{_help(command)}\n\n{described}"


def _help(command: click.Command) -> str:
    """Return the help of a command; what click does not wrap stays as it is."""
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    return "\n\n".join(
        "::\n\n" + _indented(text.removeprefix("\b\n"))
        if text.startswith("\b")
        else str(escape(text))
        for text in paragraphs
    )


def _docstring(action: Any) -> str:
    return _indented(inspect.getdoc(action) or "")


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.splitlines())


def directive(make: Callable[[str], str]) -> Any:
    """Return a directive whose content is what ``make`` returns for the path of a module."""

    class FromCode(SphinxDirective):
        required_arguments = 1

        def run(self) -> list[nodes.Node]:
            module = self.arguments[0]
            lines = make(module).expandtabs(4).splitlines()
            node = nodes.section()
            node.document = self.state.document
            nested_parse_with_titles(self.state, StringList(lines, source=module), node)
            return node.children

    return FromCode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    for make in (options, rooms, actions, commands):
        app.add_directive(f"{make.__name__}-of", directive(make))
    return {"parallel_read_safe": True}
