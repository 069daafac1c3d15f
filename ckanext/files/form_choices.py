"""Choices that a form sends, for the pages of files and of jobs.

A form that a page does not understand changes nothing: it is answered with 400.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ckan.plugins.toolkit as tk


def read_choice(sent: Mapping[str, str], name: str, *choices: str) -> Any:
    """Return what a form has sent for a parameter; answer 400 if it is none of the choices.

    A parameter that was not sent counts as an empty text.
    """
    choice = sent.get(name, "")
    return choice if choice in choices else tk.abort(400)


def read_flag(sent: Mapping[str, str], name: str) -> bool:
    """Return whether a form has sent ``true``; answer 400 if it has sent anything else."""
    return read_choice(sent, name, "", "true") == "true"
