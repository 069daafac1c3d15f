"""``ckan files background`` ``list`` and ``show``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from textwrap import indent
from typing import Any

import click
from ckan import model

from ckanext.files.background import record
from ckanext.files.background.error_line import first_line, shortened
from ckanext.files.background.parts import is_chain, title_of
from ckanext.files.background.search import Count, Search
from ckanext.files.background_plugin.results import as_json as as_dict
from ckanext.files.background_plugin.words import STATE_WORDS, event_word, part_word, waits_for
from ckanext.files.cli.options import JSON
from ckanext.files.cli.output import in_utc, print_json, print_table

from .filters import given, with_filters

_NUMBER = click.IntRange(1, 2**63 - 1)

_HEAD = ("id", "status", "created", "queue", "title", "task", "progress", "remark")
# most lines have less than 200 characters, and a title may have the id of a dataset
_MAX_TITLE, _MAX_CALL, _MAX_REMARK = 55, 80, 60

_MORE = "And many older: see --limit"

_WAIT_WORDS = {
    "queue": "waits: the queue {queue} is paused",
    "next step": "waits for a worker to go on",
    "time": "due {due}",
    "jobs": "waits for the jobs on which it depends",
    "lock": "waits for the lock {lock}",
    "worker": "waits for a worker",
}
"""What a job waits for, by the codes of :func:`waits_for`."""


def read_id(value: str) -> int | str:
    """Read the number of a job, or the id that ``toolkit.enqueue_job`` gave it, which is a text."""
    return _NUMBER.convert(int(value), None, None) if value.isdecimal() else value


@click.command("list")
@with_filters
@click.option(
    "--limit",
    type=click.IntRange(1, 2**31 - 1),
    default=20,
    show_default=True,
    help="The most jobs to list.",
)
@JSON
def list_jobs(limit: int, as_json: bool, **options: Any) -> None:
    """List jobs, the newest first.

    The remark is what a job waits for, how often it was tried, and the text of its
    progress or its error. A column that is empty for all these jobs is left out,
    and long texts are cut; see "show". Times are in UTC.
    """
    filters = given(options)
    jobs = _newest(filters, limit)
    count = Search(filters).count()
    if as_json:
        counts = {"count": count.number, "count_is_exact": count.is_exact}
        print_json({**counts, "jobs": list(map(as_dict, jobs))})
    else:
        _print_list(jobs, count, limit)
    model.Session.rollback()


def _print_list(jobs: Sequence[record.JobRecord], count: Count, limit: int) -> None:
    if jobs:
        print_table(_without_empty(list(map(_row, jobs))))
    if len(jobs) == limit and not (count.is_exact and count.number == limit):
        click.echo(f"And {count.number - limit} older: see --limit" if count.is_exact else _MORE)
    elif not jobs:
        click.echo("There are no such jobs.")


def _without_empty(rows: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
    """Return the columns in which a row has something, with their heads."""
    columns = zip(_HEAD, *rows, strict=True)
    return list(zip(*(column for column in columns if any(column[1:])), strict=True))


def _newest(filters: dict[str, Any], limit: int) -> list[record.JobRecord]:
    """Return the newest jobs, from however many pages."""
    jobs, before = record.page(filters, limit)
    found = list(jobs)
    while before is not None and len(found) < limit:
        jobs, before = record.page(filters, limit - len(found), before=before)
        found += jobs
    return found


def _row(job: record.JobRecord) -> tuple[str, ...]:
    return (
        str(job.id),
        STATE_WORDS[job.status].word,
        in_utc(job.created),
        job.queue,
        _cut(job.title, _MAX_TITLE) if job.title != title_of(job.task, job.parts) else "",
        _cut(_call(job), _MAX_CALL),
        _percent(job) or "",
        _cut(remark(job), _MAX_REMARK),
    )


def _call(job: record.JobRecord) -> str:
    """Return the task with its arguments, if there are any to show; of a chain its parts."""
    if is_chain(job.task, job.parts) or not job.args_summary:
        return title_of(job.task, job.parts)
    return f"{job.task}({job.args_summary})"


def _cut(text: str, width: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 3]}..."


def _percent(job: record.JobRecord) -> str | None:
    return None if job.percent is None else f"{job.percent:.0f} %"


@click.command()
@JSON
@click.argument("job_id", metavar="ID", type=read_id)
def show(job_id: int | str, as_json: bool) -> None:
    """Show a job with its arguments, its events, and the traceback of its last failure.

    The ID is the number of the job, or the id that enqueue_job gave it. Times are
    in UTC.
    """
    job = record.find(job_id)
    if job is None:
        raise click.ClickException(f"Job {job_id} does not exist")
    if as_json:
        events = list(map(as_dict, record.history(job.id)))
        waits_for = list(map(as_dict, record.dependencies(job.id)))
        more = {"args": record.arguments(job.id), "events": events, "depends_on": waits_for}
        print_json({**as_dict(job), **more})
    else:
        _print_job(job)
    model.Session.rollback()


def _print_job(job: record.JobRecord) -> None:
    click.echo(f"Job {job.id}: {job.title}\n")
    for name, value in _facts(job):
        if value not in (None, ""):
            click.echo(f"  {name:<14}{value}")
    _print_block("Parts", _parts(job))
    _print_block("Arguments", _arguments(job))
    _print_block("Waits for", "\n".join(map(_dependency, record.dependencies(job.id))))
    _print_block("Events", "\n".join(map(_event, record.history(job.id))))
    _print_block("Error", job.error)
    _print_block("Traceback", job.traceback)


def _facts(job: record.JobRecord) -> Iterable[tuple[str, Any]]:
    holder = record.holder(job.lock) if job.locked and job.lock else None
    yield "task", job.task if job.title != job.task and job.parts is None else None
    yield "status", STATE_WORDS[job.status].word
    yield "", remark(job)
    yield "queue", job.queue
    yield "priority", job.priority
    yield "lock", f"{job.lock} (job {holder} has it)" if holder else job.lock
    yield "queueing lock", job.queueing_lock
    yield "asked by", _user_name(job.user_id)
    yield "task id", job.task_id
    yield "RQ job id", job.rq_id
    yield "created", in_utc(job.created)
    yield "due", in_utc(job.scheduled_at)
    yield "started", in_utc(job.started)
    yield "finished", in_utc(job.finished)
    yield "attempts", job.attempts
    yield "steps", job.step
    yield "progress", _percent(job)
    yield "to end", "yes" if job.abort_requested else None


def _dependency(other: record.Dependency) -> str:
    if other.job_id is None or other.status is None:
        return f"{other.rq_id}  deleted"
    return f"job {other.job_id} ({other.rq_id})  {STATE_WORDS[other.status].word}"


def _event(event: record.Event) -> str:
    return f"{in_utc(event.at)}  {event_word(event.type, in_utc(event.due), str)}"


def _user_name(user_id: str | None) -> str | None:
    user = model.User.get(user_id) if user_id else None
    return user.name if user else user_id


def _parts(job: record.JobRecord) -> str:
    """Return the parts of a chain, a line each, with the state of those that have begun."""
    if job.parts is None:
        return ""
    lines = [
        f"{number}. {task}  {STATE_WORDS[state].word if state else ''}".rstrip()
        for number, (task, state) in enumerate(job.parts.states(job.status), 1)
    ]
    more = job.parts.total - len(lines)
    return "\n".join([*lines, f"and {more} more"] if more else lines)


def _arguments(job: record.JobRecord) -> str:
    """Return the arguments; of a chain, by its parts."""
    args = record.arguments(job.id)
    if not job.parts or not is_chain(job.task, job.parts):
        return _lines(args)
    return "\n".join(
        f"{number}. {task}\n{indent(_lines(call['args']), '  ')}".rstrip()
        for number, (task, call) in enumerate(
            zip(job.parts.tasks, args.get("calls", ()), strict=False), 1
        )
    )


def _lines(args: Mapping[str, Any]) -> str:
    shown = {name: json.dumps(value, ensure_ascii=False) for name, value in args.items()}
    return "\n".join(f"{name} = {value}" for name, value in shown.items())


def _print_block(title: str, text: str | None) -> None:
    if text:
        click.echo(f"\n{title}\n{indent(text.rstrip(), '  ')}")


def remark(job: record.JobRecord) -> str:
    """Return where a job is, what it waits for, and its progress or error, on a line."""
    shown = as_dict(job)
    waits = waits_for(shown)
    parts = [part_word(shown, str), *([_wait(job, waits), _tries(job.attempts)] if waits else [])]
    # a job that runs again still has the error of its last run: the progress is newer
    error = job.error if job.status != "succeeded" and not (job.running and job.text) else None
    return "; ".join(filter(None, [*parts, shortened(error) or first_line(job.text)]))


def _wait(job: record.JobRecord, code: str) -> str:
    due = in_utc(job.scheduled_at)
    return _WAIT_WORDS[code].format(queue=job.queue, due=due, lock=job.lock)


def _tries(attempts: int) -> str:
    if not attempts:
        return ""
    return "tried once" if attempts == 1 else f"tried {attempts} times"
