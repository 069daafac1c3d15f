"""Results that a page needs many times, and that stay the same until the request ends."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import TypeVar

from flask import g

_CACHE = "files_cache"

T = TypeVar("T")


def cached_per_request(function: Callable[..., T]) -> Callable[..., T]:
    """Call a function once for the same arguments: each field of a form asks for the same."""

    @functools.wraps(function)
    def cached(*args: Hashable) -> T:
        cache: dict[Hashable, T] = g.setdefault(_CACHE, {})
        key = (function, args)
        if key not in cache:
            cache[key] = function(*args)
        return cache[key]

    return cached
