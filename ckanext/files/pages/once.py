"""Answers that a page needs many times, and that stay the same until the request ends."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from flask import g

_KEY = "files_answers"

P = ParamSpec("P")
T = TypeVar("T")


def once_a_request(function: Callable[P, T]) -> Callable[P, T]:
    """Remember what a function returns for its arguments: the fields of a form ask the same."""

    @functools.wraps(function)
    def remembered(*args: P.args, **kwargs: P.kwargs) -> T:
        answers: dict[Any, Any] = g.setdefault(_KEY, {})
        question = (function, args, tuple(kwargs.items()))
        if question not in answers:
            answers[question] = function(*args, **kwargs)
        return answers[question]

    return remembered
