"""Parameters of actions as clients send them."""

from __future__ import annotations

import pytest

from ckanext.files.parameters import all_storable, as_bool


def test_booleans() -> None:
    for value in (True, 1, 5, "true", "True", "yes", "t", "y", "1"):
        assert as_bool(value) is True, value
    for value in (False, 0, "false", "no", "", "2", None, 1.5, [], ["x"], {"x": "y"}):
        assert as_bool(value) is False, value


@pytest.mark.parametrize("odd", ["a\0b", "\ud800"])
def test_texts_that_postgresql_cannot_store(odd: str) -> None:
    assert all_storable({"a": ["b", {"c": ("d", "é", 5, None)}]})
    for value in (odd, [odd], {"a": odd}, {odd: "a"}, {"a": [{"b": ("c", odd)}]}):
        assert not all_storable(value)
