"""A server that speaks S3, in a process of its own."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from dev.process import HOST, Process, answers, free_port


@contextlib.contextmanager
def s3_server(log: Path) -> Iterator[str]:
    """Run it on a free port of the loopback address, and yield its URL."""
    port = str(free_port())
    command = [sys.executable, "-m", "moto.server", "--host", HOST, "--port", port]
    process = Process(command, log)
    url = f"http://{HOST}:{port}"
    process.start()
    try:
        process.wait_until(lambda: answers(f"{url}/moto-api/"))
        yield url
    finally:
        process.stop()


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
