"""Names of queues and tasks on the command line, which may be misspelt.

A name is known if something has it: a job, a task of this portal or, for a queue, a schedule or a
pause. A command that finds or changes something refuses another name, as it cannot do what was
meant. Only a worker starts all the same: its queue may get a first job later.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click
from ckan import model

from ckanext.files.background.call import all_tasks
from ckanext.files.background.overview import unknown_queues
from ckanext.files.background.search import Search
from ckanext.files.hint import with_hint


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
        _refuse([with_hint(sentence, name, known)])


def _refuse(sentences: Sequence[str], advice: str = "") -> None:
    if sentences:
        raise click.BadParameter(" ".join(filter(None, [*sentences, advice])))
