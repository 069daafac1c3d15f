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

_SERIES = ".".join(ckan_version.split(".")[:2])


def main() -> int:
    """Return the exit code: 1 if a goal is missed for certain."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", choices=["request", "background"])
    parser.add_argument("--write", action="store_true", help="write the results into a file, too")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="measure these workers only")
    parser.add_argument("--rounds", type=int, help="of the workers")
    arguments = parser.parse_args()
    quick = os.environ.get("QUICK", "0") != "0"
    # workers are in process groups of their own: they are stopped on the way out
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    if arguments.what == "request":
        name, (text, verdicts) = "ckan", request.measure(quick)
    else:
        only, rounds = arguments.only or (), arguments.rounds
        name, (text, verdicts) = "background-ckan", background.measure(quick, only, rounds)
    print(f"\n{text}", flush=True)
    if arguments.write:
        (ROOT / f"benchmarks/results/{name}-{_SERIES}.rst").write_text(f"{text}\n")
    return 1 if Verdict.MISSED in verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
