"""A server that speaks S3, in a process of its own."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import requests

_SECONDS_TO_START = 60
_SECONDS_TO_STOP = 10


@contextlib.contextmanager
def s3_server(log: Path) -> Iterator[str]:
    """Run it on a free port of the loopback address, and give its address."""
    port = _free_port()
    # it ends with the tests even if they are killed
    command = ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "moto.server"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        _wait_for_answer(f"http://127.0.0.1:{port}", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(_SECONDS_TO_STOP)


def s3_options(endpoint: str, bucket: str) -> dict[str, str | bool]:
    """Return the options of a storage there."""
    return {
        "endpoint": endpoint,
        "bucket": bucket,
        "key": "key-of-the-tests",
        "secret": "secret-of-the-tests",
        "region": "us-east-1",
        "initialize": True,
    }


def _wait_for_answer(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(requests.ConnectionError):
            requests.get(f"{url}/moto-api/", timeout=5)
            return
        time.sleep(0.05)
    raise AssertionError(f"the S3 server does not answer:\n{log.read_text()}")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
