"""The order of Python's sets decides nothing: the same tests with other hash seeds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.crash

TESTS = Path(__file__).with_name("test_datasets.py")
NAMES = "at_once or without_ids or swap or twice_when"


def test_the_right_resource_with_any_hash_seed(
    full_size: bool, request: pytest.FixtureRequest
) -> None:
    for seed in range(20 if full_size else 1):
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", str(TESTS), "-k", NAMES],
            cwd=request.config.rootpath,
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout[-3000:]
