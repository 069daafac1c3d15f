"""On CKAN 2.11 these tests run at full size only, see ``make test-extensions``.

They make an environment with other extensions, and start CKAN in it many times: on both versions
that takes minutes of each run.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ckanext.files.capabilities import CORE_FILES

SKIPPED = pytest.mark.skip(
    reason="takes minutes: always on CKAN 2.12, on CKAN 2.11 with --full-size"
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    if CORE_FILES or config.getoption("--full-size"):
        return
    for item in (each for each in items if here in each.path.parents):
        item.add_marker(SKIPPED)
