"""Ask an action."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model
from ckan.common import config

from .cast import Cast
from .plain import plain
from .questions import FILE, Question


class Asking:
    """Calls actions on behalf of the cast."""

    def __init__(self, cast: Cast) -> None:
        self._cast = cast

    def answer(self, question: Question, user: str) -> Any:
        """Return the result or the error, without what differs from run to run."""
        labels, data = dict(self._cast.labels), dict(question.data)
        if question.owner is not None and FILE in data.values():
            file = self._cast.new_file(question.owner, pinned=question.pinned)
            labels[file] = "<file>"
            data["id"] = file
        with pytest.MonkeyPatch.context() as patch:
            for option, value in question.options.items():
                patch.setitem(config, option, value)
            return plain(_call(question.action, self._cast.users[user], data), labels)


def _call(action: str, user: str, data: Mapping[str, Any]) -> Any:
    context: Any = {"user": user, "ignore_auth": False}
    try:
        return tk.get_action(action)(context, dict(data))
    except tk.ValidationError as error:
        return {"invalid": error.error_dict}
    except tk.NotAuthorized as error:
        return {"not authorized": str(error)}
    except tk.ObjectNotFound as error:
        return {"not found": str(error)}
    except Exception as error:  # HTTP 500
        return {"error": type(error).__name__}
    finally:
        model.Session.rollback()
        model.Session.remove()
