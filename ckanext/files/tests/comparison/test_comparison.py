"""CKAN 2.12's core and the backport answer alike."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ckanext.files.capabilities import CORE_FILES
from ckanext.files.tests.support.compared import Sample, calls, downloads
from ckanext.files.tests.support.load_plugins import load_plugins

FOLDER = Path(__file__).parent / "core"

loaded = load_plugins("files")


@pytest.fixture
def sample() -> Sample:
    """Owners of this test's own: the answers have the numbers of their files."""
    return Sample()


def test_actions(sample: Sample, request: pytest.FixtureRequest) -> None:
    answers = {
        call.name: {user: call.answer(sample, user) for user in call.users}
        for call in calls(sample)
    }
    _compare("actions", answers, request.config)


def test_downloads(sample: Sample, loaded: Any, request: pytest.FixtureRequest) -> None:
    app = loaded()
    answers = {
        download.name: {user: download.answer(sample, user, app) for user in download.users}
        for download in downloads(sample)
    }
    _compare("downloads", answers, request.config)


def _compare(subject: str, answers: dict[str, dict[str, Any]], options: pytest.Config) -> None:
    file = FOLDER / f"{subject}.json"
    if options.getoption("--record-answers"):
        assert CORE_FILES, "only core's answers are worth keeping"
        kept = {name: _by_answer(of_users) for name, of_users in answers.items()}
        file.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    kept = {name: _by_user(grouped) for name, grouped in json.loads(file.read_text()).items()}
    assert set(answers) == set(kept)
    different = list(_differences(kept, json.loads(json.dumps(answers))))
    assert not different, "\n".join([f"{len(different)} answers differ:", *different])


def _by_answer(of_users: dict[str, Any]) -> dict[str, Any]:
    """Return each answer once, by the names of the users who get it."""
    users: dict[str, list[str]] = {}
    for user, answer in of_users.items():
        users.setdefault(json.dumps(answer, sort_keys=True), []).append(user)
    return {", ".join(names): json.loads(answer) for answer, names in users.items()}


def _by_user(grouped: dict[str, Any]) -> dict[str, Any]:
    return {user: answer for users, answer in grouped.items() for user in users.split(", ")}


def _differences(kept: dict[str, Any], answers: dict[str, Any]) -> Iterator[str]:
    for name, expected in kept.items():
        for user, core in expected.items():
            here = answers[name].get(user)
            is_better = (_fails(core) and _refuses(here)) or _reveals_less(core, here)
            if here != core and not is_better:
                yield f"{name} | {user}\n  core: {core}\n  here: {here}"


def _fails(answer: Any) -> bool:
    """Return whether the client sees HTTP 500."""
    return isinstance(answer, dict) and set(answer) == {"error"}


def _reveals_less(core: Any, here: Any) -> bool:
    """Return whether only core reveals that a file exists which is not the user's."""
    revealing = ({"not authorized": "File is pinned"}, {"not found": ""})
    whats = ("transfer ownership", "list files", "read file", "edit file", "delete file")
    return core in revealing and here in [{"not authorized": f"Not allowed to {w}"} for w in whats]


def _refuses(answer: Any) -> bool:
    return isinstance(answer, dict) and set(answer) <= {"invalid", "not authorized", "not found"}
