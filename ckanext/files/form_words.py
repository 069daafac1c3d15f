"""The words by which a form says what to do, for the pages of files and of jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ckan.plugins.toolkit as tk


def read_word(sent: Mapping[str, str], name: str, *words: str) -> Any:
    """Return the word that a form has sent by a name.

    A form that a page does not understand changes nothing: a word that is not among ``words`` is
    answered with 400. A form that sends none has sent an empty text.
    """
    word = sent.get(name, "")
    return word if word in words else tk.abort(400)
