"""What is installed: packages of Debian, and a virtual environment for each version of CKAN."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .process import WITH_US

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".dev"
LOGS, NOTES, RUNS = STATE / "log", STATE / "run", STATE / "runs"

RELEASES = {"2.12": "2.12.0", "2.11": "2.11.6", "legacy": "2.11.6"}
"""The release of CKAN in each; ``legacy`` is a portal that moves in, with ckanext-files 1.3.4."""

_INPUTS = ("requirements.txt", "dev-requirements.txt", "setup.cfg", "setup.py")
_PACKAGES = ("ca-certificates", "python3-venv", "python3-dev", "gcc", "libpq-dev", "libmagic1")
_SIGNS = {
    "ca-certificates": "/etc/ssl/certs/ca-certificates.crt",
    "python3-venv": f"{sysconfig.get_path('stdlib')}/ensurepip/__init__.py",
    "python3-dev": f"{sysconfig.get_path('include')}/Python.h",
    "libpq-dev": "/usr/include/**/libpq-fe.h",
    "libmagic1": "/usr/lib/**/libmagic.so.1",
    "postgresql": "/usr/lib/postgresql/*/bin/initdb",
    "default-jdk-headless": "/usr/bin/javac",
    "maven": "/usr/bin/mvn",
    "chromium-driver": "/usr/bin/chromedriver",
}
"""The file that shows that a package is there; without one it is the program of its name."""


def install(*packages: str) -> None:
    """Install the packages of Debian that are missing, as root or by sudo."""
    with lock("packages"):
        signs = {name: _SIGNS.get(name, f"/usr/bin/{name}")[1:] for name in packages}
        missing = " ".join(name for name in packages if not any(Path("/").glob(signs[name])))
        if missing:
            apt = "apt-get -q update && apt-get -q install -y --no-install-recommends"
            command = ["env", "DEBIAN_FRONTEND=noninteractive", "sh", "-c", f"{apt} {missing}"]
            sudo = ["sudo"] if os.geteuid() else []
            run_logged(f"installing {missing}", [*sudo, *command], "packages")


def folder_of(version: str) -> Path:
    """Return the folder of an environment."""
    if version not in RELEASES:
        sys.exit(f"error: CKAN '{version}' is not supported: give one of {' '.join(RELEASES)}")
    return STATE / f"venv-{version}"


def make(version: str) -> None:
    """Make an environment, or install again if a file that it is installed from has changed."""
    folder, steps = folder_of(version), _steps(version)
    python, stamp = folder / "bin/python", folder / "inputs"
    digests = [hashlib.sha256((ROOT / name).read_bytes()).hexdigest() for name in _INPUTS]
    inputs = f"{steps} {digests if version != 'legacy' else ''}"
    install(*_PACKAGES)
    with lock(folder.name):
        works = python.exists() and not subprocess.call([python, "-c", ""])
        if works and stamp.exists() and stamp.read_text() == inputs:
            return
        if not works:
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        for number, step in enumerate(steps, 1):
            what = f"installing CKAN {RELEASES[version]}, step {number} of {len(steps)}"
            pip = [python, "-m", "pip", "install", "--no-compile", *step]
            run_logged(what, pip, folder.name, cwd=ROOT)
        stamp.write_text(inputs)


def _steps(version: str) -> list[list[str]]:
    """Return the arguments of each call of ``pip install``."""
    # CKAN still imports pkg_resources, which setuptools 81 has no more
    tools, release = ["setuptools>=77,<81", "wheel"], RELEASES[version]
    if version == "legacy":
        return [tools, [f"ckan[requirements]=={release}", "ckanext-files==1.3.4"]]
    requirements = ["-r", "requirements.txt", "-r", "dev-requirements.txt"]
    # compat: a package that is added later is found without installing again
    editable = ["--no-deps", "--no-build-isolation", "--config-settings", "editable_mode=compat"]
    return [tools, [f"ckan[requirements,dev]=={release}", *requirements], [*editable, "-e", "."]]


def run_logged(what: str, command: list[Any], log: str, **options: Any) -> None:
    """Run a command that prints into a log; print every 15 seconds how far it is."""
    path, began = LOGS / f"{log}.log", time.monotonic()
    say(what)
    with path.open("wb") as output:
        streams = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
        process = subprocess.Popen([*WITH_US, *command], **streams, **options)
    while True:
        with suppress(subprocess.TimeoutExpired):
            if process.wait(15):
                sys.exit(f"error: {what}: failed, see {path}")
            return
        last_line = path.read_text(errors="replace").strip().rpartition("\n")[2]
        say(f"{what}: {time.monotonic() - began:.0f} s, {last_line.strip()[:100]}")


def say(text: str) -> None:
    """Print what happens."""
    print(f">>> {text}", file=sys.stderr, flush=True)


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Let one process at a time do something."""
    with (NOTES / f"{name}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
