"""What is installed: packages of Debian, and a virtual environment for each version of CKAN.

Another environment for a version, ``2.12-extensions``, has extensions of other authors, of which
some need other releases of packages than CKAN. What it does not have itself it takes from the
environment of the version.
"""

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

EXTENSIONS = "-extensions"
"""Follows the version in the name of the environment with extensions of others."""

_INPUTS = ("requirements.txt", "dev-requirements.txt", "setup.cfg", "setup.py")
_EXTENSIONS = ("dev/extensions.txt",)
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


def version_of(environment: str) -> str:
    """Return the version of CKAN in an environment."""
    if (version := environment.removesuffix(EXTENSIONS)) not in RELEASES:
        sys.exit(f"error: CKAN '{version}' is not supported: give one of {' '.join(RELEASES)}")
    return version


def folder_of(environment: str) -> Path:
    """Return the folder of an environment."""
    version_of(environment)
    return STATE / f"venv-{environment}"


def programs_of(environment: str) -> list[Path]:
    """Return the folders of its programs."""
    names = dict.fromkeys([environment, version_of(environment)])
    return [folder_of(name) / "bin" for name in names]


def make(environment: str) -> None:
    """Make an environment, or install again if a file that it is installed from has changed."""
    if (version := version_of(environment)) != environment:
        make(version)
    folder, steps = folder_of(environment), _steps(environment)
    python, stamp = folder / "bin/python", folder / "inputs"
    files = _EXTENSIONS if version != environment else () if version == "legacy" else _INPUTS
    digests = [hashlib.sha256((ROOT / name).read_bytes()).hexdigest() for name in files]
    inputs = f"{steps} {digests}"
    install(*_PACKAGES)
    with lock(folder.name):
        works = python.exists() and not subprocess.call([python, "-c", ""])
        if works and stamp.exists() and stamp.read_text() == inputs:
            return
        if not works:
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        if version != environment:
            _lay_over(folder, folder_of(version))
        for number, step in enumerate(steps, 1):
            what = f"installing CKAN {RELEASES[version]}, step {number} of {len(steps)}"
            pip = [python, "-m", "pip", "install", "--no-compile", *step]
            run_logged(what, pip, folder.name, cwd=ROOT)
        for module in folder.glob("lib/*/site-packages/ckanext/__init__.py"):
            module.unlink()  # with it, Python would look for no more of ckanext in other folders
        stamp.write_text(inputs)


def _lay_over(folder: Path, base: Path) -> None:
    """Let an environment find the packages of another one behind its own, also as a program."""
    [packages] = base.glob("lib/*/site-packages")
    [own_packages] = folder.glob("lib/*/site-packages")
    line = f"import site; site.addsitedir({str(packages)!r})\n"
    (own_packages / "base.pth").write_text(line)
    for name in ("ckan", "pytest"):
        _, _, text = (base / "bin" / name).read_text().partition("\n")
        program = folder / "bin" / name
        program.write_text(f"#!{folder}/bin/python\n{text}")
        program.chmod(0o755)


def _steps(environment: str) -> list[list[str]]:
    """Return the arguments of each call of ``pip install``."""
    version = version_of(environment)
    if version != environment:
        return [["-r", *_EXTENSIONS]]
    # pip 25 is quicker than Debian's; CKAN still imports pkg_resources, which setuptools 81 has no
    # more
    tools, release = ["pip>=25", "setuptools>=77,<81", "wheel"], RELEASES[version]
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
