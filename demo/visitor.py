"""A person who uses the site over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

TIMEOUT = 60

STORAGE = "attachments"
"""Where the options in ``demo.ini`` let users upload."""


class RefusedError(Exception):
    """A visitor did not get to see what the story needs."""


@dataclass(frozen=True)
class Answer:
    """What the site has answered."""

    status: int
    body: bytes
    message: Mapping[str, Any]
    """The parsed body of an API call, empty for other pages."""
    headers: Mapping[str, str]

    @property
    def result(self) -> Any:
        return self.message.get("result")

    @property
    def errors(self) -> dict[str, Any]:
        """The errors by field, without CKAN's own mark of the type."""
        found: dict[str, Any] = self.message.get("error") or {}
        return {field: errors for field, errors in found.items() if not field.startswith("__")}

    def __str__(self) -> str:
        return f"HTTP {self.status} {self.message.get('error') or self.body[:300]!r}"


class Visitor:
    """A user with an API token, or, without one, the public."""

    def __init__(self, name: str, url: str, token: str | None = None) -> None:
        self.name = name
        self._url = url
        self._session = requests.Session()
        # Neither a proxy for the loopback address, nor a login from ~/.netrc instead of the token.
        self._session.trust_env = False
        if token:
            self._session.headers["Authorization"] = token

    def call(self, action: str, data: Mapping[str, Any]) -> Answer:
        """Call an action of the API."""
        return _api(self._session.post(self._action(action), json=data, timeout=TIMEOUT))

    def see(self, action: str, data: Mapping[str, Any]) -> Any:
        """Return the result of an action.

        :raises RefusedError: there is none.
        """
        answer = self.call(action, data)
        if answer.status != requests.codes.ok:
            raise RefusedError(f"{self.name} calls {action}, and gets {answer}")
        return answer.result

    def upload(self, name: str, content: bytes) -> Answer:
        """Call ``file_create`` as a form does."""
        files = {"upload": (name, content)}
        address, data = self._action("file_create"), {"storage": STORAGE}
        return _api(self._session.post(address, data, files=files, timeout=TIMEOUT))

    def download(self, file_id: str) -> Answer:
        """Ask for the bytes of a file."""
        return self.open(f"/file/download/{file_id}")

    def open(self, path: str) -> Answer:
        """Open a page, as a browser does."""
        response = self._session.get(f"{self._url}{path}", timeout=TIMEOUT)
        return Answer(response.status_code, response.content, {}, response.headers)

    def follow(self, address: str) -> Answer:
        """Open an address that the API has given."""
        return _api(self._session.get(address, timeout=TIMEOUT))

    def _action(self, name: str) -> str:
        return f"{self._url}/api/3/action/{name}"


def _api(response: requests.Response) -> Answer:
    try:
        message = response.json()
    except ValueError:
        message = None
    # on some errors CKAN's API answers with a bare string
    fields = message if isinstance(message, dict) else {}
    return Answer(response.status_code, response.content, fields, response.headers)
