"""Values reach PostgreSQL as they are."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from ckan import model
from hypothesis import given
from hypothesis import strategies as st

from ckanext.files.store.arrays import array, literal

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
    assert model.Session.execute(sa.select(array("x")), {"x": literal(values)}).scalar() == values


# neither of which PostgreSQL accepts at all
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))))
def test_any_texts(values: list[str]) -> None:
    assert model.Session.execute(sa.select(array("x")), {"x": literal(values)}).scalar() == values


def test_booleans() -> None:
    answer = model.Session.execute(sa.select(array("x", sa.BOOLEAN)), {"x": literal([True, False])})
    assert answer.scalar() == [True, False]
