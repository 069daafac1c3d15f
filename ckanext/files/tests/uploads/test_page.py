"""The examples of the page about uploads, with curl and with tuspy."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ckanext.files.tests.support import documented
from ckanext.files.tests.support.tus import Tus
from ckanext.files.tests.support.users import call

PAGE = "docs/recipes/uploads.rst"
PORTAL = "https://portal.example.org"


def test_curl(tus: Tus, tmp_path: Path) -> None:
    """Also after an interruption, and once more when all is there."""
    content = os.urandom(100_000)
    (tmp_path / "survey.zip").write_bytes(content)
    begin, send = (
        block.replace(PORTAL, tus.site).replace("printf attachments", "printf folder")
        for block in documented.blocks(PAGE, "bash")
    )
    assert tus.site in begin
    assert tus.site in send

    def run(script: str) -> str:
        variables = {**os.environ, "TOKEN": tus.token}
        command = ["bash", "-euo", "pipefail", "-c", script]
        ran = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    run(begin)
    url = (tmp_path / "address.txt").read_text().strip()
    assert tus.patch(url, 0, content[:30_000]).status_code == 204
    [file_id] = run(send).split()
    assert tus.download(file_id) == content
    file = call("file_show", tus.user, id=file_id)
    assert (file["name"], file["storage"]) == ("survey.zip", "folder")


def test_tuspy(tus: Tus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (path := tmp_path / "survey.zip").write_bytes(content := os.urandom(100_000))
    upload: Any = documented.run(PAGE, 0)["upload"]
    file_id = upload(tus.site, tus.token, str(path), "survey.zip", "folder")
    assert tus.download(file_id) == content
    again = upload(tus.site, tus.token, str(path), "other.zip", "folder")
    assert again != file_id
    assert call("file_show", tus.user, id=again)["name"] == "other.zip"


def test_statuses(tus: Tus) -> None:
    """The table of the page has each status of the endpoint's errors."""
    from ckanext.files.uploads import errors

    text = (documented.ROOT / PAGE).read_text()
    table = {int(line[:3]) for line in text.splitlines() if line[:3].isdigit()}
    known = {error.status for error in vars(errors).values() if hasattr(error, "status")}
    assert table == known | {405}
