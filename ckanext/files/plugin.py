"""Wiring of the plugin ``files``."""

from __future__ import annotations

from typing import Any

import ckan.plugins as p

from .queue.core import chained_core_actions


class FilesPlugin(p.SingletonPlugin):
    """Task queues for CKAN's actions, and files that belong to datasets."""

    p.implements(p.IActions)

    def get_actions(self) -> dict[str, Any]:
        return dict(chained_core_actions())
