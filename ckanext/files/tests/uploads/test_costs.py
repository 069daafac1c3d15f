"""What a request of an upload costs the database."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from ckan import model

from ckanext.files.tests.support.effects import count_commits, statements
from ckanext.files.tests.support.tus import BODY, Tus


def test_a_token_is_paid_once(app: Any, tus: Tus, monkeypatch: pytest.MonkeyPatch) -> None:
    """CKAN notes that a token was used, in a commit of its own; the check of forms does not."""
    monkeypatch.setitem(app.flask_app.config, "WTF_CSRF_ENABLED", True)
    url = tus.begin(9)
    headers = {
        "Authorization": tus.token,
        "Content-Type": BODY,
        "Tus-Resumable": "1.0.0",
        "Upload-Offset": "0",
    }
    with statements() as sent, count_commits() as commits:
        path = urlsplit(url).path
        answer = app.test_client().patch(path, data=b"12345", headers=headers)
        model.Session.remove()
    assert (answer.status_code, tus.offset(url)) == (204, 5)
    assert len([each for each in sent if each.startswith("UPDATE api_token")]) == 1
