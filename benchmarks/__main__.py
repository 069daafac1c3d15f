"""``python -m benchmarks request|background [--write]``; ``QUICK=1`` is for a first look."""

from __future__ import annotations

import argparse
import os
import signal
import sys

from ckan import __version__ as ckan_version

from . import background, request
from .figures import Verdict
from .site import ROOT


def main() -> int:
    """Return the exit code: 1 if a goal is missed for certain."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", choices=["request", "background"])
    parser.add_argument("--write", action="store_true", help="write the results into a file, too")
    arguments = parser.parse_args()
    quick = os.environ.get("QUICK", "0") != "0"
    # workers are in process groups of their own: they are stopped on the way out
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    measurement = {"request": request, "background": background}[arguments.what]
    text, verdicts = measurement.measure(quick)
    print(f"\n{text}", flush=True)
    if arguments.write:
        name = f"{measurement.RESULTS}-{'.'.join(ckan_version.split('.')[:2])}.rst"
        (ROOT / "benchmarks/results" / name).write_text(f"{text}\n")
    return 1 if Verdict.MISSED in verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
