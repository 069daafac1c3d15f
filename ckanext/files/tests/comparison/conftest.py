from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record-answers",
        action="store_true",
        help="keep what the files of CKAN 2.12's core answer",
    )
