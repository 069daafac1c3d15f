"""Packages of Debian: what is missing is installed, as root or by sudo."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path

from .console import NOTES, DevError, lock, run_logged, say

_FILES = {
    "ca-certificates": "/etc/ssl/certs/ca-certificates.crt",
    "python3-venv": f"{sysconfig.get_path('stdlib')}/ensurepip/__init__.py",
    "python3-dev": f"{sysconfig.get_path('include')}/Python.h",
    "libpq-dev": "/usr/include/**/libpq-fe.h",
    "libmagic1": "/usr/lib/**/libmagic.so.1",
    "postgresql": "/usr/lib/postgresql/*/bin/initdb",
}
_PROGRAMS = {
    "default-jdk-headless": ("javac",),
    "maven": ("mvn",),
    "chromium": ("chromium", "google-chrome"),
    "chromium-driver": ("chromedriver",),
}
PYTHON = ("ca-certificates", "python3-venv", "python3-dev", "gcc", "libpq-dev", "libmagic1")
_BROWSER = ("chromium", "chromium-driver")


def install(*packages: str) -> None:
    """Install the packages whose files are missing, wherever these may come from."""
    with lock("packages"):
        missing = " ".join(name for name in packages if not _is_there(name))
        if not missing:
            return
        if not shutil.which("apt-get"):
            raise DevError(f"install these first, there is no apt-get here: {missing}")
        if os.geteuid() and not shutil.which("sudo"):
            raise DevError(f"be root, or have sudo, to install: {missing}")
        apt = "apt-get -q update && apt-get -q install -y --no-install-recommends"
        command = ["env", "DEBIAN_FRONTEND=noninteractive", "sh", "-c", f"{apt} {missing}"]
        sudo = ["sudo"] if os.geteuid() else []
        run_logged(f"installing {missing}", [*sudo, *command], "packages")


def install_browser() -> None:
    """Install a browser. Where the distribution has none that works, its tests are skipped."""
    none = NOTES / "no-browser"
    try:
        install(*([] if none.exists() else _BROWSER))
    except DevError as error:
        none.touch()
        say(f"{error}; tests in a browser will be skipped (to try again, remove {none})")


def _is_there(package: str) -> bool:
    if package in _FILES:
        return any(Path("/").glob(_FILES[package].lstrip("/")))
    return any(map(shutil.which, _PROGRAMS.get(package, [package])))
