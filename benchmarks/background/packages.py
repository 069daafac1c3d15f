"""The packages of the contenders, which only this benchmark needs."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

_REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")


def install() -> None:
    """Install what is missing, and change nothing of what CKAN has brought."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write(_others())
        constraints.flush()
        command = [*_PIP, "install", "-q", "-r", str(_REQUIREMENTS), "-c", constraints.name]
        subprocess.run(command, check=True)


def _others() -> str:
    """Return what is installed already, but for the packages that are asked for."""
    asked = {line.split("==")[0] for line in _REQUIREMENTS.read_text().splitlines()}
    freeze = [*_PIP, "freeze", "--exclude-editable"]
    found = subprocess.run(freeze, check=True, capture_output=True, text=True).stdout
    return "\n".join(line for line in found.splitlines() if line.split("==")[0] not in asked)
