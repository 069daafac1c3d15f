"""A task of one's own: a dataset's notice is shown on its organization's page.

The validator of the field ``notice`` queues two tasks. The first one writes to
the organization, the second one may refuse, and then nothing of it has happened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ckan.plugins.toolkit as tk
from ckan.types import Context, FlattenDataDict, FlattenErrorDict, FlattenKey

from ckanext.files.shared import add_task


@dataclass(frozen=True)
class ShowNotice:
    """Writes the notice into the description of the dataset's organization."""

    user: str

    def __call__(self, result: dict[str, Any], idx: int, prev: Any) -> str:
        context: Context = {"user": self.user, "ignore_auth": True}
        organization = {"id": result["owner_org"], "description": result["notice"]}
        return tk.get_action("organization_patch")(context, organization)["description"]


def refuse_filler(result: dict[str, Any], idx: int, prev: str) -> None:
    """Refuse what the task before has written, if it is filler text."""
    if "lorem ipsum" in prev.lower():
        raise tk.ValidationError({"notice": ["Filler text is not for the organization's page"]})


def demo_notice(
    key: FlattenKey, data: FlattenDataDict, errors: FlattenErrorDict, context: Context
) -> None:
    """Queue the tasks of a dataset's notice (validator)."""
    if data[key]:
        add_task(ShowNotice(context.get("user", "")))
        add_task(refuse_filler)
