"""``python -m benchmarks.background [--write]``; ``QUICK=1`` is for a first look."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from ckan import __version__ as ckan_version

from ..verdict import Verdict
from .contenders import CONTENDERS
from .goals import goals
from .packages import install
from .report import report
from .run import run

SERIES = ".".join(ckan_version.split(".")[:2])
RESULTS = Path(__file__).resolve().parent.parent / "results" / f"background-ckan-{SERIES}.rst"

ROUNDS = 15


def main() -> int:
    """Return the exit code: 1 if a goal is missed for certain."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.background", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}, too")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="measure these contenders only")
    parser.add_argument("--rounds", type=int, help=f"{ROUNDS} unless it is a first look")
    arguments = parser.parse_args()

    quick = os.environ.get("QUICK", "0") != "0"
    contenders = [c.quick() if quick else c for c in CONTENDERS]
    if arguments.only:
        contenders = [c for c in contenders if c.name in arguments.only]
    # workers are in groups of their own: nobody else would stop them
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    install()
    scores = run(contenders, arguments.rounds or (2 if quick else ROUNDS))
    text = report(scores, contenders)
    print(f"\n{text}", flush=True)
    if arguments.write:
        RESULTS.write_text(f"{text}\n")
    return 1 if Verdict.MISSED in {goal.verdict for goal in goals(scores)} else 0


if __name__ == "__main__":
    sys.exit(main())
