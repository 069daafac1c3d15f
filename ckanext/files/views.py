"""The links of ckanext-files 1.x, and the database session after a request that failed."""

from __future__ import annotations

import ckan.plugins.toolkit as tk
from ckan import model
from ckan.types import Response
from flask import Blueprint

blueprint = Blueprint("files_views", __name__)


@blueprint.route("/files/download/<id>")
def redirect_old_link(id: str) -> Response:  # noqa: A002 - the same name as in CKAN's route
    """Redirect a link of ckanext-files 1.x to CKAN's download page."""
    return tk.redirect_to("file.download", id=id)


@blueprint.teardown_app_request
def remove_session(error: BaseException | None) -> None:
    """Remove the database session after a request that failed, with or without a response.

    CKAN removes the session of a thread with the response. When a user is logged in and the
    connection is lost within a request, CKAN's error page queries the user and fails as well, so
    that there is no response. The thread would keep the session, and each of its next requests of
    logged-in users would fail with ``PendingRollbackError``.
    """
    if error is not None:
        model.Session.remove()
