"""A client of resumable uploads that shows each request and each answer of the protocol."""

from __future__ import annotations

import base64
import socket
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

BODY = "application/offset+octet-stream"


class Tus:
    """The requests of one user.

    :param token: API token; none for an anonymous client.
    :param http: with the cookies of a session.
    """

    def __init__(
        self, site: str, user: str = "", token: str = "", http: requests.Session | None = None
    ) -> None:
        self.site, self.user = site, user
        self.token, self._http = token, http or requests.Session()
        self.endpoint = f"{site}/file/upload"

    def send(
        self, method: str, url: str = "", body: Any = None, /, **headers: Any
    ) -> requests.Response:
        """Send a request.

        :param headers: with ``_`` for each ``-``; None leaves a header out.
        """
        given: dict[str, Any] = {"Tus-Resumable": "1.0.0", "Authorization": self.token or None}
        if body is not None:
            given["Content-Type"] = BODY
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {name: str(value) for name, value in given.items() if value is not None}
        return self._http.request(
            method,
            urljoin(self.endpoint, url) if url else self.endpoint,
            data=body,
            headers=sent,
            timeout=60,
            allow_redirects=False,
        )

    def create(
        self, size: int, name: str = "a.bin", body: Any = None, /, storage: str = "", **headers: Any
    ) -> requests.Response:
        """Begin an upload."""
        values = {"filename": name, "storage": storage}
        given = {"Upload_Length": size, "Upload_Metadata": metadata(**values), **headers}
        return self.send("POST", "", body, **given)

    def begin(self, size: int, name: str = "a.bin", /, storage: str = "") -> str:
        """Begin an upload; return its address."""
        answer = self.create(size, name, storage=storage)
        assert answer.status_code == 201, answer.text
        return answer.headers["Location"]

    def patch(self, url: str, offset: int, body: Any, /, **headers: Any) -> requests.Response:
        """Send bytes."""
        return self.send("PATCH", url, body, Upload_Offset=offset, **headers)

    def head(self, url: str) -> requests.Response:
        return self.send("HEAD", url)

    def offset(self, url: str) -> int:
        """Return how many bytes count."""
        answer = self.head(url)
        assert answer.status_code == 200
        return int(answer.headers["Upload-Offset"])

    def upload(self, content: bytes, name: str = "a.bin", /, storage: str = "") -> str:
        """Upload a file; return its id."""
        answer = self.patch(self.begin(len(content), name, storage=storage), 0, content)
        assert answer.status_code == 204, answer.text
        return answer.headers["File-Id"]

    def download(self, file_id: str) -> bytes:
        answer = requests.get(
            f"{self.site}/file/download/{file_id}",
            headers={"Authorization": self.token},
            timeout=60,
        )
        answer.raise_for_status()
        return answer.content

    def open(self, url: str, offset: int, length: int, more: str = "") -> socket.socket:
        """Begin a request whose bytes the caller sends, in its own time.

        :param more: headers, each with the end of its line.
        """
        place = urlsplit(urljoin(self.endpoint, url))
        connection = socket.create_connection((str(place.hostname), int(place.port or 80)), 60)
        head = (
            f"PATCH {place.path} HTTP/1.1\r\nHost: {place.netloc}\r\nTus-Resumable: 1.0.0\r\n"
            f"Authorization: {self.token}\r\nContent-Type: {BODY}\r\nUpload-Offset: {offset}\r\n"
            f"Content-Length: {length}\r\n{more}\r\n"
        )
        connection.sendall(head.encode())
        return connection


def answer_of(connection: socket.socket) -> int:
    """Return the status of the answer."""
    return int(connection.recv(1000).split()[1])


def metadata(**values: str) -> str:
    """Return the header with these values; empty ones are left out."""
    pairs = {key: base64.b64encode(text.encode()).decode() for key, text in values.items() if text}
    return ",".join(f"{key} {text}" for key, text in pairs.items())
