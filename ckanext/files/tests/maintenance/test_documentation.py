"""The examples of docs/operating/maintenance.rst do what the text says."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model
from ckan.common import config, config_declaration

from ckanext.files.background.testing import TasksManager
from ckanext.files.maintenance import tasks as all_tasks
from ckanext.files.maintenance.schedule import schedules
from ckanext.files.store.storages import storages
from ckanext.files.tests.support import documented
from ckanext.files.tests.support.background_command import run as run_command
from ckanext.files.tests.support.effects import count_commits
from ckanext.files.tests.support.maintained_site import OPTION, loaded_with, outcome, row, upload
from ckanext.files.tests.support.users import call, new_user

PAGE = "docs/operating/maintenance.rst"


def _options() -> dict[str, str]:
    parser = configparser.RawConfigParser()
    [block] = documented.blocks(PAGE, "ini")
    parser.read_string("[app]\n" + block)
    return dict(parser["app"])


@pytest.fixture(scope="module", autouse=True)
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("maintenance")
    more: dict[str, Any] = dict(_options())
    for name in ("uploads", "archive"):
        more |= {
            f"{OPTION}.{name}.type": "files:fs",
            f"{OPTION}.{name}.path": str(folder / name),
            f"{OPTION}.{name}.initialize": "true",
        }
    with loaded_with(folder, **more):
        yield
    storages.reset()


def test_schedules() -> None:
    assert all(option in config_declaration for option in _options())
    names = [schedule.task for schedule in schedules()]
    assert names == ["unattached", "abandoned", "missing", "strays", "checksums"]
    assert config["ckanext.files.maintenance.unattached.dry_run"] is False
    assert config["ckanext.files.maintenance.strays.hours"] == 48


def test_table_names_all_tasks() -> None:
    text = (documented.ROOT / PAGE).read_text()
    table = text.partition("=====\nTask ")[2].partition("\n\n")[0]
    named = set(re.findall(r"^``(\w+)``", table, re.M))
    own = {"remove_bytes", "remove_seen_strays"}  # of other tasks
    assert named == set(all_tasks.__all__) - own


def _send(number: int) -> int:
    """Give a command of the page; return the id of its job."""
    text = (documented.ROOT / PAGE).read_text()
    command = re.findall(r"^    ckan files background (send .+)$", text, re.M)[number]
    code, said = run_command(*command.split())
    assert code == 0, said
    return int(said.split()[1])


def test_by_hand(tasks: TasksManager) -> None:
    old = upload(new_user(), storage="default", days=61)
    dry = _send(0)
    tasks.run_pending_jobs()
    assert row(old)
    wet = _send(1)
    tasks.run_pending_jobs()
    assert row(old) is None
    assert outcome(dry)[1].replace("would be deleted", "deleted") == outcome(wet)[1]


def test_in_an_extension(tasks: TasksManager) -> None:
    old = upload(new_user(), storage="default", days=61)
    documented.run(PAGE, 0)
    model.Session.commit()
    tasks.run_pending_jobs()
    assert row(old) is None


def test_verify_each_upload(tasks: TasksManager) -> None:
    create = documented.run(PAGE, 1)["VerifyingPlugin"].get_actions(None)["file_create"]
    core, user = tk.get_action("file_create"), new_user()

    def upload_it(**data: Any) -> Any:
        context: Any = {"user": user, "session": model.Session}
        return create(core, context, {"name": "a.txt", "upload": b"hello", **data})

    with count_commits() as commits:
        file = upload_it(storage="default")
    assert len(commits) == 1
    tasks.run_pending_jobs()
    [job] = tasks.jobs
    assert outcome(job)[:2] == ("succeeded", f"a.txt: md5 is {file['hash']}, as it was stored")
    with pytest.raises((tk.NotAuthorized, tk.ValidationError)):
        upload_it(storage="nowhere")
    assert list(tasks.jobs) == [job]


def test_move(tasks: TasksManager) -> None:
    file = upload(storage="uploads")
    _send(2)
    tasks.run_pending_jobs()
    now: Any = row(file)
    assert now["storage"] == "archive"
    path = Path(config[f"{OPTION}.archive.path"], now["location"])
    assert path.read_bytes() == b"hello"
    call("file_delete", None, id=file)
