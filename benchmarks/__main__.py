"""``python -m benchmarks WHAT [--write]``; ``QUICK=1`` is for a first look."""

from __future__ import annotations

import argparse
import os
import sys

from ckan import __version__ as ckan_version

from . import background, files, jobs, request
from .figures import CONFIDENCE
from .process import ROOT, end_in_order

_RESULTS = {
    "request": (request, "ckan"),
    "background": (background, "background-ckan"),
    "jobs": (jobs, "jobs-ckan"),
    "files": (files, "files-ckan"),
}


def main() -> int:
    """Return the exit code: 1 if a goal is missed for certain."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", choices=_RESULTS)
    parser.add_argument("--write", action="store_true", help="write the results into a file, too")
    arguments = parser.parse_args()
    end_in_order()
    measurement, name = _RESULTS[arguments.what]
    tables = measurement.measure(quick=os.environ.get("QUICK", "0") != "0")
    words = (ROOT / f"benchmarks/{arguments.what}/report.rst").read_text()
    text = words.format(version=ckan_version, confidence=CONFIDENCE, **tables)
    print(f"\n{text}", end="", flush=True)
    if arguments.write:
        path = f"benchmarks/results/{name}-{ckan_version.rpartition('.')[0]}.rst"
        (ROOT / path).write_text(text)
    return 1 if " missed" in text else 0


if __name__ == "__main__":
    sys.exit(main())
