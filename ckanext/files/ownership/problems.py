"""What is wrong with the fields of a result, in the shape of CKAN's errors."""

from __future__ import annotations

from typing import Any

from ckan.plugins import toolkit as tk
from ckan.types import FlattenKey


class Problems:
    """Collects sentences about places, and raises all of them at once."""

    def __init__(self) -> None:
        self._errors: dict[str, Any] = {}

    def add(self, key: FlattenKey, sentence: str) -> None:
        """Say something about a place such as ``("resources", 2, "doc")``.

        It becomes ``{"resources": [{}, {}, {"doc": [sentence]}]}``: those who
        have changed one resource of a dataset look for its errors by position.
        """
        node = self._errors
        for name, number in zip(key[:-1:2], key[1::2], strict=True):
            items = node.setdefault(name, [])
            items.extend({} for _ in range(number + 1 - len(items)))
            node = items[number]
        node.setdefault(key[-1], []).append(sentence)

    def check(self) -> None:
        """:raises ValidationError: there are any."""
        if self._errors:
            raise tk.ValidationError(self._errors)
