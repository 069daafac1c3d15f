"""Random actions in actions, with savepoints, commits, failures: a row and its callback agree."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from ckan import model

from ckanext.files.shared import InnerFailureError, add_task, on_commit
from ckanext.files.tests.support.effects import Effects, Rows
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.probe_plugin import ProbeError, fail, in_action
from ckanext.files.transaction import is_commit_requested

loaded = load_plugins("files", "files_test_probe")


class Program:
    """A random program, of steps within steps."""

    def __init__(self, seed: int, rows: Rows) -> None:
        self.random = random.Random(seed)
        self.rows = rows
        self.number = 0
        self.asked: set[str] = set()
        self.called: set[str] = set()
        self.trace: list[str] = []
        inner = [self.ask, self.ask, self.queue, self.write, self.act, self.act, self.act_and_catch]
        inner += [self.in_savepoint, self.in_savepoint, self.in_savepoint_that_is_rolled_back]
        inner.append(self.fail)
        self.steps_in_savepoint: list[Callable[[int], Any]] = inner
        self.steps = [*inner, self.commit, self.roll_back]

    def run(self, depth: int) -> None:
        for _ in range(self.random.randint(1, 4)):
            step = self.random.choice(self.steps)
            self.trace.append("  " * (4 - depth) + step.__name__)
            step(depth)

    def write(self, depth: int) -> None:
        self.number += 1
        self.rows.write(str(self.number))

    def ask(self, depth: int) -> None:
        """Ask first: what was written before the hold began is not undone with an inner action."""
        name = str(self.number + 1)
        on_commit(lambda: self.called.add(name))
        self.write(depth)
        self.asked.add(name)

    def queue(self, depth: int) -> None:
        add_task(fail if self.random.random() < 0.1 else lambda *_: self.ask(depth))

    def commit(self, depth: int) -> None:
        model.Session.commit()

    def roll_back(self, depth: int) -> None:
        model.Session.rollback()

    def fail(self, depth: int) -> None:
        fail()

    def act(self, depth: int) -> None:
        if depth:
            probe = self.random.choice(["probe", "probe", "probe_eager"])
            in_action(lambda: self.run(depth - 1), probe)

    def act_and_catch(self, depth: int) -> None:
        with suppress(ProbeError):
            self.act(depth)

    def in_savepoint(self, depth: int, *, release: bool = True) -> None:
        """As code does that uses it right: only this ends the savepoint or the transaction."""
        if not depth:
            return
        savepoint, steps = model.Session.begin_nested(), self.steps
        self.steps = self.steps_in_savepoint
        try:
            self.run(depth - 1)
        except BaseException:
            release = False
            raise
        finally:
            self.steps = steps
            if savepoint.is_active:
                savepoint.commit() if release else savepoint.rollback()

    def in_savepoint_that_is_rolled_back(self, depth: int) -> None:
        self.in_savepoint(depth, release=False)


@pytest.mark.parametrize("block", range(10))
def test_row_and_callback_agree(block: int, effects: Effects, unique: Any, full_size: bool) -> None:
    for number in range(1000 if full_size else 60):
        seed = block * 1000 + number
        program = Program(seed, Rows(unique("row")))
        failed: Exception | None = None
        try:
            program.act(4)
        except (ProbeError, InnerFailureError) as error:
            failed = error
        except Exception as error:
            raise AssertionError(f"seed {seed}\n" + "\n".join(program.trace)) from error
        text = f"seed {seed}, {failed!r}\n" + "\n".join(program.trace)
        there = program.rows.committed & program.asked
        assert there == program.called, text
        if failed is None:
            assert not is_commit_requested(model.Session()), text
        else:
            assert not there, text
        model.Session.remove()
