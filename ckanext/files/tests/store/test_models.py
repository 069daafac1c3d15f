"""Values reach PostgreSQL as they are."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model
from hypothesis import given
from hypothesis import strategies as st

from ckanext.files.store.models import array_literal

ODD = [
    "",
    " ",
    "NULL",
    "null",
    "{",
    "}",
    ",",
    '"',
    '\\"',
    "\\",
    "'",
    "%(x)s",
    ":x",
    "é",
    "файл",
    "\n",
]


@pytest.mark.parametrize("values", [[], ODD, ODD[::-1]])
def test_odd_texts(values: list[str]) -> None:
    assert _stored(values, "text[]") == values


# neither of which PostgreSQL accepts at all
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))))
def test_any_texts(values: list[str]) -> None:
    assert _stored(values, "text[]") == values


def test_booleans() -> None:
    assert _stored([True, False], "bool[]") == [True, False]


def _stored(values: list[Any], type_: str) -> Any:
    statement = sa.text(f"SELECT CAST(:values AS {type_})")
    return model.Session.execute(statement, {"values": array_literal(values)}).scalar()
