"""The plugin of the demo's site."""

from __future__ import annotations

from typing import Any

import ckan.plugins as p
import click

from ckanext.files.background import IBackgroundTasks

from .inspection import demo_inspect
from .notice import demo_notice
from .site import demo_site


class DemoPlugin(p.SingletonPlugin):
    """Validators that queue tasks and ask for jobs, and the command that serves the site."""

    p.implements(IBackgroundTasks)
    p.implements(p.IValidators)
    p.implements(p.IClick)

    def get_validators(self) -> dict[str, Any]:
        return {"demo_inspect": demo_inspect, "demo_notice": demo_notice}

    def get_background_task_modules(self) -> list[str]:
        return ["demo.inspection"]

    def get_commands(self) -> list[click.Command]:
        return [demo_site]
