"""Random actions in actions, with savepoints, commits, failures: a row and its callback agree."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model

from ckanext.files.shared import InnerFailureError, add_task, on_commit
from ckanext.files.tests.support.effects import Effects, engine
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.transaction import is_commit_requested

loaded = load_plugins("files", "files_test_probe")


class StepError(Exception):
    """Raised by a step of a program."""


class Program:
    """A random program, of steps within steps."""

    def __init__(self, seed: int, effects: Effects, prefix: str) -> None:
        self.random = random.Random(seed)
        self.effects = effects
        self.prefix = prefix
        self.rows = 0
        self.asked: set[str] = set()
        self.called: set[str] = set()
        self.trace: list[str] = []
        self.steps: list[Callable[[int], None]] = [
            self.ask,
            self.ask,
            self.queue,
            self.write,
            self.commit,
            self.roll_back,
            self.act,
            self.act,
            self.act_and_catch,
            self.in_savepoint,
            self.in_savepoint,
            self.in_savepoint_that_is_rolled_back,
            self.fail,
        ]

    def run(self, depth: int) -> None:
        for _ in range(self.random.randint(1, 4)):
            step = self.random.choice(self.steps)
            self.trace.append("  " * (4 - depth) + step.__name__)
            step(depth)

    def write(self, depth: int) -> None:
        self.rows += 1
        self.effects.write(f"{self.prefix}-{self.rows}")

    def ask(self, depth: int) -> None:
        """Ask first: what was written before the hold began is not undone with an inner action."""
        name = f"{self.prefix}-{self.rows + 1}"
        on_commit(lambda: self.called.add(name))
        self.write(depth)
        self.asked.add(name)

    def queue(self, depth: int) -> None:
        if self.random.random() < 0.1:
            add_task(self.fail)
        else:
            add_task(lambda *_: self.ask(depth))

    def commit(self, depth: int) -> None:
        model.Session.commit()

    def roll_back(self, depth: int) -> None:
        model.Session.rollback()

    def fail(self, *_: Any) -> None:
        raise StepError

    def act(self, depth: int) -> None:
        if depth:
            probe = self.random.choice(["probe", "probe", "probe_eager"])
            tk.get_action(probe)({}, {"do": lambda _: self.run(depth - 1)})

    def act_and_catch(self, depth: int) -> None:
        with suppress(StepError):
            self.act(depth)

    def in_savepoint(self, depth: int) -> None:
        """As code does that uses it right: nobody commits or rolls back within it but us."""
        if not depth:
            return
        savepoint = model.Session.begin_nested()
        try:
            self.run_quietly(depth - 1)
        except BaseException:
            if savepoint.is_active:
                savepoint.rollback()
            raise
        if savepoint.is_active:
            savepoint.commit()

    def in_savepoint_that_is_rolled_back(self, depth: int) -> None:
        if depth:
            savepoint = model.Session.begin_nested()
            try:
                self.run_quietly(depth - 1)
            finally:
                if savepoint.is_active:
                    savepoint.rollback()

    def run_quietly(self, depth: int) -> None:
        """Run steps that do not end the session's transaction."""
        steps = self.steps
        self.steps = [s for s in steps if s not in (self.commit, self.roll_back)]
        try:
            self.run(depth)
        finally:
            self.steps = steps


def rows(prefix: str) -> set[str]:
    query = sa.text("SELECT name FROM files_test_effect WHERE name LIKE :pattern")
    with engine().connect() as connection:
        return set(connection.execute(query, {"pattern": f"{prefix}-%"}).scalars())


@pytest.mark.parametrize("block", range(10))
def test_row_and_callback_agree(block: int, effects: Effects, unique: Any, full_size: bool) -> None:
    for number in range(1000 if full_size else 60):
        seed = block * 1000 + number
        program = Program(seed, effects, unique("row"))
        failed: Exception | None = None
        try:
            program.act(4)
        except (StepError, InnerFailureError) as error:
            failed = error
        except Exception as error:
            raise AssertionError(f"seed {seed}\n" + "\n".join(program.trace)) from error
        text = f"seed {seed}, {failed!r}\n" + "\n".join(program.trace)
        there = rows(program.prefix) & program.asked
        assert there == program.called, text
        if failed is None:
            assert not is_commit_requested(model.Session()), text
        else:
            assert not there, text
        model.Session.remove()
