"""Orders of Python's sets, which the seed of its hashes decides.

The other process empties the database: no test of this module may need what a fixture has made.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.crash

ORDER_MATTERS = "at_once or without_ids or swap or twice_when"
"""Tests of datasets in which several files move at once."""


def test_order_of_sets_decides_nothing(full_size: bool, request: pytest.FixtureRequest) -> None:
    """The right resource gets its file with other hash seeds as well."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-k"]
    command += [ORDER_MATTERS if full_size else "swap or twice_when"]
    command += [str(Path(__file__).with_name("test_datasets.py"))]
    for seed in range(20 if full_size else 1):
        env = {**os.environ, "PYTHONHASHSEED": str(seed)}
        folder = request.config.rootpath
        run = subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stdout[-3000:]
