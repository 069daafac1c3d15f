"""The plugin of the demo's site."""

from __future__ import annotations

from typing import Any

import ckan.plugins as p
import click

from .notice import demo_notice
from .site import demo_site


class DemoPlugin(p.SingletonPlugin):
    """A validator that queues tasks, and the command that serves the site."""

    p.implements(p.IValidators)
    p.implements(p.IClick)

    def get_validators(self) -> dict[str, Any]:
        return {"demo_notice": demo_notice}

    def get_commands(self) -> list[click.Command]:
        return [demo_site]
