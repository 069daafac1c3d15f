"""A user who calls the API."""

from __future__ import annotations

import json
from typing import Any

from ckan import model
from ckan.tests import factories

from ckanext.files.tests.support.users import new_user


class Client:
    """Calls actions over the API, as a new user or as a visitor.

    :param app: CKAN's test application.
    """

    def __init__(self, app: Any, *, sysadmin: bool = False, anonymous: bool = False) -> None:
        self._app = app
        self.headers: dict[str, str] = {}
        self.name = self.id = ""
        if not anonymous:
            self.name = new_user(sysadmin=sysadmin)
            user = model.User.get(self.name)
            assert user
            self.id = user.id
            self.headers = {"Authorization": factories.APIToken(user=self.name)["token"]}

    def ask(self, action: str, headers: dict[str, str] | None = None, /, **data: Any) -> Any:
        """Return the response.

        :param headers: of the request, in addition to those that identify the user.
        """
        response = self._app.post(
            f"/api/action/{action}",
            data=json.dumps(data),
            headers={**self.headers, **(headers or {})},
            content_type="application/json",
        )
        model.Session.remove()
        return response

    def call(self, action: str, /, **data: Any) -> tuple[int, Any]:
        """Return the status, and the result or the error."""
        response = self.ask(action, **data)
        body = json.loads(response.body)
        return response.status_code, body["result"] if body["success"] else body["error"]

    def result(self, action: str, /, **data: Any) -> Any:
        """Return the result of an action that succeeds."""
        status, result = self.call(action, **data)
        assert status == 200, result
        return result
