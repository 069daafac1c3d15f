"""What an action has returned, with all its fields."""

from __future__ import annotations

from typing import Any

from ckan.plugins import toolkit as tk
from ckan.types import Context


def completed(result: Any, action: str, user: str) -> Any:
    """Return the result of an action; ask CKAN for it if it is only an id.

    That is what callers get who say ``return_id_only``.

    :param action: name of the action, such as ``package_create``.
    """
    if not isinstance(result, str):
        return result
    entity, _, verb = action.rpartition("_")
    if verb not in ("create", "update"):
        return {"id": result}
    # the search index does not know of the change yet
    context: Context = {"user": user, "ignore_auth": True, "use_cache": False}
    return tk.get_action(f"{entity}_show")(context, {"id": result})
