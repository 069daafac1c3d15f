"""Tests of reports, on the real database."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan.tests import factories
from ckan.tests.helpers import call_action

pytestmark = pytest.mark.usefixtures("database", "tasks")


@pytest.fixture
def user() -> str:
    return factories.User()["name"]


@pytest.fixture
def report(user: str) -> dict[str, Any]:
    """A report that is not saved yet, with a file of the user."""
    file = call_action("file_create", {"user": user}, name="report.pdf", upload=b"%PDF-1.4")
    name = factories.Dataset.stub().name
    organization = factories.Organization(users=[{"name": user, "capacity": "editor"}])
    return {
        "type": "report",
        "name": name,
        "title": "Water levels",
        "owner_org": organization["id"],
        "attachment": file["id"],
    }


def save(user: str, report: dict[str, Any]) -> dict[str, Any]:
    return tk.get_action("package_create")({"user": user}, report)


def test_report_owns_its_attachment(user: str, report: dict[str, Any]) -> None:
    saved = save(user, report)
    file = call_action("file_show", id=report["attachment"])
    assert (file["owner_type"], file["owner_id"]) == ("package", saved["id"])


def test_report_joins_its_series(user: str, report: dict[str, Any]) -> None:
    series = factories.Group(user={"name": user})
    saved = save(user, {**report, "series": series["name"]})
    members = call_action("member_list", id=series["id"], object_type="package")
    assert [member[0] for member in members] == [saved["id"]]


def test_nothing_is_saved_when_the_user_may_not_edit_the_series(
    user: str, report: dict[str, Any]
) -> None:
    series = factories.Group()
    with pytest.raises(tk.NotAuthorized):
        save(user, {**report, "series": series["name"]})
    with pytest.raises(tk.ObjectNotFound):
        call_action("package_show", id=report["name"])
    file = call_action("file_show", id=report["attachment"])
    assert file["owner_type"] == "user"


def test_attachment_is_measured(user: str, report: dict[str, Any], tasks: Any) -> None:
    saved = save(user, report)
    tasks.run_pending_jobs()
    assert tasks.failed_jobs == []
    assert call_action("package_show", id=saved["id"])["attachment_size"] == 8
