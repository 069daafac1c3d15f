"""Names of queues and tasks on the command line, which may be misspelt.

A name is known if something has it: a job, a task of this portal or, for a queue, a schedule or a
pause. A command that finds or changes something refuses another name, as it cannot do what was
meant. Only a worker starts all the same: its queue may get a first job later.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

import click
from ckan import model

from ckanext.files.background import overview, schema
from ckanext.files.background.call import all_tasks
from ckanext.files.background.search import Search


def check_queues(names: Iterable[str], advice: str = "") -> None:
    """:raises click.BadParameter: a name is not known; the message ends with the advice."""
    _refuse(unknown_queues(names), advice)


def check_task(name: str) -> None:
    """:raises click.BadParameter: the name is not known."""
    known = [task.name for task in all_tasks()]
    try:
        is_known = name in known or bool(Search({"task": name}).find(1).ids)
    finally:
        model.Session.rollback()  # it only reads
    if not is_known:
        sentence = f"There is no task {name}, and no job has one of that name."
        _refuse([_with_hint(sentence, name, known)])


def unknown_queues(names: Iterable[str]) -> list[str]:
    """Return a sentence about each name that is not known."""
    engine: Any = model.Session.get_bind()
    with engine.connect() as connection:
        schema.check(connection)
        known = overview.known_queues(connection)
    sentence = "There is no queue {}: it has no jobs, and no task or schedule names it."
    return [_with_hint(sentence.format(name), name, known) for name in names if name not in known]


def _with_hint(sentence: str, name: str, known: Iterable[str]) -> str:
    similar = difflib.get_close_matches(name, list(known), n=1)
    return f"{sentence} Did you mean {similar[0]}?" if similar else sentence


def _refuse(sentences: Sequence[str], advice: str = "") -> None:
    if sentences:
        raise click.BadParameter(" ".join(filter(None, [*sentences, advice])))
