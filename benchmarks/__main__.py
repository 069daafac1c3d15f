"""``python -m benchmarks [--write]``; with ``QUICK=1`` in the environment, for a first look."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ckan import __version__ as ckan_version

from .contests import CONTESTS
from .report import report
from .run import Run
from .verdict import Verdict, judge

SERIES = ".".join(ckan_version.split(".")[:2])
RESULTS = Path(__file__).resolve().parent / "results" / f"ckan-{SERIES}.rst"

GENERATIONS = 5
"""How often the processes are started anew."""


def main() -> int:
    """Return the exit code: 1 if a goal is missed for certain."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}, too")
    arguments = parser.parse_args()

    quick = os.environ.get("QUICK", "0") != "0"
    contests = [contest.quick() for contest in CONTESTS] if quick else CONTESTS
    with Run(contests, generations=1 if quick else GENERATIONS) as run:
        run.go()
        text = report(run.scores, run.parts)
        print(f"\n{text}", flush=True)
        if arguments.write:
            RESULTS.parent.mkdir(exist_ok=True)
            RESULTS.write_text(f"{text}\n")
    verdicts = {judge(e, scores) for c, scores in run.scores.items() for e in c.entries}
    return 1 if Verdict.MISSED in verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
