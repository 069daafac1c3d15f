"""Virtual environments, each with a version of CKAN."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from . import packages
from .console import ROOT, STATE, DevError, lock, run_logged

RELEASES = {"2.12": "2.12.0", "2.11": "2.11.6", "legacy": "2.11.6"}
"""The release of CKAN in each; ``legacy`` is a portal that moves in, with ckanext-files 1.3.4."""

_INPUTS = ("requirements.txt", "dev-requirements.txt", "setup.cfg", "setup.py")


def folder_of(version: str) -> Path:
    """Return the folder of an environment."""
    if version not in RELEASES:
        raise DevError(f"CKAN '{version}' is not supported: give one of {' '.join(RELEASES)}")
    return STATE / f"venv-{version}"


def make(version: str) -> None:
    """Make an environment, or install again if a file that it is installed from has changed."""
    folder, steps = folder_of(version), _steps(version)
    python, stamp = folder / "bin/python", folder / "inputs"
    digests = [hashlib.sha256((ROOT / name).read_bytes()).hexdigest() for name in _INPUTS]
    inputs = f"{steps} {digests if version != 'legacy' else ''}"
    packages.install(*packages.PYTHON)
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


def migrate(database: str, version: str, variables: Mapping[str, str]) -> None:
    """Run all migrations of CKAN and of the extension in the database of the variables."""
    command = [folder_of(version) / "bin/ckan", "-c", "test.ini", "db", "upgrade"]
    what = f"running the migrations of CKAN {version} in {database}"
    run_logged(what, command, f"migrations-{version}", cwd=ROOT, env={**os.environ, **variables})
