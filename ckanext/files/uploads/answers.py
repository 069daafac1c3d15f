"""The answers to requests that are refused: JSON as CKAN's API has it, with words for users."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import ckan.plugins.toolkit as tk
from ckan import model
from flask import Blueprint, Response
from flask_wtf.csrf import CSRFError, generate_csrf
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, default_exceptions

from .body import Body
from .errors import UploadRefusedError

SECONDS_TO_DISCARD = 2.0
"""How long an answer waits at most for the rest of a body that is not wanted."""


def answer_errors(blueprint: Blueprint) -> None:
    """Let the views of a blueprint answer all errors in one shape."""
    blueprint.register_error_handler(UploadRefusedError, _refuse)
    # for each one: CKAN has a handler for each status, which comes before one for all of them
    for status in default_exceptions:
        blueprint.register_error_handler(status, _refuse_otherwise)


def _refuse(error: UploadRefusedError) -> Response:
    return _answer(error.status, error.kind, error.errors)


def _refuse_otherwise(error: HTTPException) -> Response:
    """Answer errors of Flask and its extensions, such as a missing token of the session."""
    errors = {"upload": [_words(error)]}
    answer = _answer(error.code or 500, UploadRefusedError.kind, errors)
    # the script of a page that was loaded before the login tries again with this token
    if isinstance(error, CSRFError):
        answer.headers["X-CSRFToken"] = generate_csrf()
    return answer


def _words(error: HTTPException) -> str:
    if isinstance(error, RequestEntityTooLarge):
        sentence = tk._("This portal takes {limit} at most in one request: send smaller parts")
        limit = tk.h.localised_filesize(tk.request.max_content_length or 0)
        return sentence.format(limit=limit)
    if isinstance(error, CSRFError):
        return tk._("The page is too old, or you have logged out. Load it again.")
    if error.code is None or error.code >= 500:
        return tk._("The portal has a problem at the moment. Try again later.")
    return error.description or error.name


def _answer(status: int, kind: str, errors: dict[str, Any]) -> Response:
    model.Session.remove()  # the connection is for others, while the client takes its time
    with suppress(RequestEntityTooLarge):
        Body(tk.request.stream).discard(SECONDS_TO_DISCARD)
    body = {"success": False, "error": {"__type": kind, **errors}}
    return Response(json.dumps(body), status, mimetype="application/json")
