"""Leave no broken database session to the next request of a thread.

CKAN removes the session of a thread with the response. When a user is logged in and the connection
is lost within a request, CKAN's page about the error asks for the user, fails as well, and there is
no response. The thread keeps the session, and each of its next requests fails with
``PendingRollbackError``, for as long as users are logged in.
"""

from __future__ import annotations

from ckan import model
from flask import Blueprint

blueprint = Blueprint("files_sessions", __name__)


@blueprint.teardown_app_request
def remove_session(error: BaseException | None) -> None:
    """Remove the session after a request that failed, whether it had a response or not."""
    if error is not None:
        model.Session.remove()
