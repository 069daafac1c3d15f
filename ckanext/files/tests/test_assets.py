"""The script for uploads that is built from other people's packages: small, and with its licences.

That it is what its sources give is checked where npm can be reached: ``make assets`` changes
nothing.
"""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import ckanext.files

ASSETS = Path(next(iter(ckanext.files.__path__))) / "assets"
MOST_BYTES = 40_000
"""On the line, of the bundle alone."""


def test_the_bundle_is_small() -> None:
    bundle = (ASSETS / "vendor/uppy.js").read_bytes()
    assert 20_000 < len(gzip.compress(bundle, 9)) <= MOST_BYTES


def test_each_package_in_the_bundle_has_its_licence() -> None:
    bundle = (ASSETS / "vendor/uppy.js").read_text()
    titles = re.findall(r"^ \* (.* \d\S* \(.*\))$", bundle.partition("*/")[0], re.M)
    licences = (ASSETS / "vendor/uppy.LICENSE.txt").read_text().split(f"\n{'-' * 80}\n\n")
    assert len(titles) > 10
    assert [text.partition("\n")[0] for text in licences] == titles
    assert all("copyright" in text.lower() for text in licences)


def test_versions_are_pinned() -> None:
    wanted = json.loads((ASSETS / "bundle/package.json").read_text())["devDependencies"]
    locked = json.loads((ASSETS / "bundle/package-lock.json").read_text())["packages"]
    assert locked.pop("")["devDependencies"] == wanted
    assert {name: locked[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert all(package["integrity"] for package in locked.values())
    assert not [package for package in locked.values() if "resolved" in package]
