"""The text of an error, as people read it."""

from __future__ import annotations

import ckan.plugins.toolkit as tk
import pytest

from ckanext.files.error_texts import joined, text_of


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (tk.ValidationError({"upload": ["Too large"]}), "Too large"),
        (tk.ValidationError({"name": "Too long", "__type": "Validation Error"}), "Too long"),
        (tk.ValidationError("Something is wrong"), "Something is wrong"),
        (
            tk.ValidationError({"a": ["One", "Two!", "Three."], "b": ["Four"]}),
            "One. Two! Three. Four",
        ),
        (tk.ValidationError({"resources": [{}, {"doc": ["No such file"]}]}), "No such file"),
        (tk.ValidationError({"a": ["Missing value"], "b": ["Missing value"]}), "Missing value"),
        (tk.ValidationError({}), ""),
        (tk.NotAuthorized("Log in first"), "Log in first"),
        (tk.ObjectNotFound("No job 7"), "No job 7"),
        (ValueError("a < b"), "a < b"),
    ],
)
def test_text_of_an_error(error: Exception, text: str) -> None:
    assert text_of(error) == text


def test_joined() -> None:
    assert (
        joined(["Ein Satz", "", "\u6587\u3002", "Noch einer"])
        == "Ein Satz. \u6587\u3002 Noch einer"
    )
    assert joined([]) == ""
