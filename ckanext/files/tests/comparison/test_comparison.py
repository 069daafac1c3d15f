"""CKAN 2.12's core and the backport answer alike."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ckanext.files.capabilities import CORE_FILES
from ckanext.files.tests.loaded import load_plugins

from .asking import Asking
from .cast import Cast
from .downloads import Download, Visitor, downloads
from .questions import Question, questions

FOLDER = Path(__file__).parent / "core"

loaded = load_plugins("files")


@pytest.fixture(scope="module")
def cast(loaded: Any) -> Cast:
    return Cast()


def test_all_answers(cast: Cast, request: pytest.FixtureRequest) -> None:
    asking = Asking(cast)
    answers = {question.name: _ask(question, asking) for question in questions(cast)}
    _compare("actions", answers, request.config)


def test_all_downloads(cast: Cast, loaded: Any, request: pytest.FixtureRequest) -> None:
    visitor = Visitor(loaded(), cast)
    _compare("downloads", {d.name: _ask(d, visitor) for d in downloads(cast)}, request.config)


def _ask(question: Question | Download, asked: Any) -> dict[str, Any]:
    return {user: asked.answer(question, user) for user in question.users}


def _compare(subject: str, answers: dict[str, dict[str, Any]], options: pytest.Config) -> None:
    file = FOLDER / f"{subject}.json"
    if options.getoption("--record-answers"):
        assert CORE_FILES, "only core's answers are worth keeping"
        kept = {question: _grouped(said) for question, said in answers.items()}
        file.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    kept = {question: _by_user(said) for question, said in json.loads(file.read_text()).items()}
    assert set(answers) == set(kept)
    different = list(_differences(kept, json.loads(json.dumps(answers))))
    assert not different, "\n".join([f"{len(different)} answers differ:", *different])


def _grouped(said: dict[str, Any]) -> dict[str, Any]:
    """Return the answers with all users that have got them."""
    users: dict[str, list[str]] = {}
    for user, answer in said.items():
        users.setdefault(json.dumps(answer, sort_keys=True), []).append(user)
    return {", ".join(names): json.loads(answer) for answer, names in users.items()}


def _by_user(grouped: dict[str, Any]) -> dict[str, Any]:
    return {user: answer for users, answer in grouped.items() for user in users.split(", ")}


def _differences(kept: dict[str, Any], answers: dict[str, Any]) -> Iterator[str]:
    for question, expected in kept.items():
        for user, core in expected.items():
            here = answers[question].get(user)
            if (
                here != core
                and not (_fails(core) and _refuses(here))
                and not _tells_less(core, here)
            ):
                yield f"{question} | {user}\n  core: {core}\n  here: {here}"


def _fails(answer: Any) -> bool:
    """Tell whether core has not thought of it: the client sees HTTP 500."""
    return isinstance(answer, dict) and set(answer) == {"error"}


def _tells_less(core: Any, here: Any) -> bool:
    """Tell whether core tells what exists and is not the user's, and we do not."""
    whats = ("transfer ownership", "list files", "read file", "edit file", "delete file")
    telling = ({"not authorized": "File is pinned"}, {"not found": ""})
    return core in telling and here in [{"not authorized": f"Not allowed to {w}"} for w in whats]


def _refuses(answer: Any) -> bool:
    return isinstance(answer, dict) and set(answer) <= {"invalid", "not authorized", "not found"}
