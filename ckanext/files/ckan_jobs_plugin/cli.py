"""The commands ``ckan files jobs ...``."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator

import click
from ckan import model

from ckanext.files.background_plugin.cli import BackgroundGroup
from ckanext.files.background_plugin.cli.change_found import YES, number_of
from ckanext.files.ckan_jobs import drain, to_redis
from ckanext.files.ckan_jobs.moving import Moved
from ckanext.files.ckan_jobs.redis_jobs import RedisJobs
from ckanext.files.cli import files
from ckanext.files.cli.options import JSON
from ckanext.files.cli.output import ProgressBar, print_heading, print_json, print_list

__all__ = ["get_commands"]


@dataclasses.dataclass(frozen=True)
class _Move:
    """What a command does."""

    ask: Callable[[], tuple[int, str]]
    """Returns how many jobs there are, and what to ask before they move."""

    label: str
    """Of the progress."""

    done: str
    """What has happened."""

    place: str
    """Where jobs stay that cannot be moved."""

    move: Callable[[], Iterator[Moved]]


def _ask_to_drain() -> tuple[int, str]:
    states = RedisJobs().counts()
    parts = {
        "waiting": states["queued"],
        "waiting for a time or for other jobs": states["scheduled"] + states["deferred"],
        "begun by a worker": states["started"] + states["popped"],
    }
    shown = ", ".join(f"{words}: {count}" for words, count in parts.items() if count)
    return states.total(), (
        f"Redis has {number_of(states.total())} of this site ({shown}). They have no signature: "
        "any program that can write into this Redis may have put them there, and they will run "
        "on this site. Take them over?"
    )


def _ask_to_go_back() -> tuple[int, str]:
    count = to_redis.count()
    return count, f"Put {number_of(count)} into Redis, for workers of RQ?"


_DRAIN = _Move(
    _ask_to_drain,
    "Taking jobs over",
    "Taken over",
    "Redis",
    drain.run,
)

_TO_REDIS = _Move(
    _ask_to_go_back,
    "Moving jobs",
    "Put into Redis",
    "PostgreSQL",
    to_redis.run,
)


@files.group(cls=BackgroundGroup)
def jobs() -> None:
    """Move background jobs of extensions between Redis and PostgreSQL."""


@jobs.command("drain")
@YES
@JSON
def drain_command(yes: bool, as_json: bool) -> None:
    """Take over the jobs that RQ still has in Redis.

    Those that wait, in their order, also for a time or for other jobs, and those
    that a worker of RQ had begun when it was killed: they begin again. Jobs that
    have ended stay. Before, the command prints how many there are, and asks: what
    is in Redis has no signature, and is read and signed.

    You can interrupt it and run it again at any time; no job is lost or doubled.
    The exit code is 1 if a job cannot be taken over. It stays in Redis, and the
    command prints its id and the reason.
    """
    _run(_DRAIN, yes=yes, as_json=as_json)


@jobs.command("to-redis")
@YES
@JSON
def to_redis_command(yes: bool, as_json: bool) -> None:
    """Put the jobs that wait into Redis, to go back to RQ.

    In their order, also those that wait for a time or for other jobs. Stop the
    workers before. The command prints how many jobs there are, and asks. In
    PostgreSQL they stay as history, as cancelled ones.

    You can interrupt it and run it again at any time; no job is lost or doubled.
    The exit code is 1 if a job cannot go to Redis. It waits on, and the command
    prints its id and the reason.
    """
    _run(_TO_REDIS, yes=yes, as_json=as_json)


def _run(move: _Move, *, yes: bool, as_json: bool) -> None:
    if as_json and not yes:
        raise click.UsageError("With --json the command cannot ask: give it --yes, too")
    count, question = move.ask()
    model.Session.rollback()
    if count and not yes:
        click.confirm(question, abort=True, err=True)
    moved, stay = _move(move, count)
    if as_json:
        print_json({"moved": moved, "stay": stay})
    else:
        _print(move, moved, stay)
    if stay:
        sys.exit(1)


def _move(move: _Move, count: int) -> tuple[int, dict[str, str]]:
    """Return how many jobs were moved, and why the others stay, by their ids."""
    moved, stay = 0, {}
    with ProgressBar(move.label) as bar:
        bar.begin(count)
        for job in move.move():
            model.Session.rollback()  # what was read needs no transaction
            bar.add(1)
            if job.reason:
                stay[job.rq_id] = job.reason
            else:
                moved += 1
    return moved, stay


def _print(move: _Move, moved: int, stay: dict[str, str]) -> None:
    click.echo(f"{move.done}: {number_of(moved)}")
    if stay:
        print_heading(f"These stay in {move.place}:")
        print_list([f"{rq_id}: {reason}" for rq_id, reason in stay.items()])


def get_commands() -> list[click.Command]:
    """Return the commands of the plugin ``files``, to which the group is added."""
    return [files]
