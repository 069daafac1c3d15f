"""The pages of jobs: all jobs for sysadmins, own jobs for users, and one job.

Purpose: to see and change what the actions show and change, in a browser. Guarantee: each page has
what its visitor gets from the actions, and no more; it works without JavaScript, and without the
tables it says so. Left out: pages for visitors who are not logged in.
"""

from collections.abc import Callable
from typing import Any

from . import changes, helpers, lists, one
from .blueprint import blueprint, here
from .notices import files_jobs_notices

__all__ = ["all_helpers", "blueprint", "changes", "lists", "one"]


def all_helpers() -> dict[str, Callable[..., Any]]:
    """Return the template helpers."""
    named = {name: getattr(helpers, name) for name in helpers.__all__}
    return {**named, "files_jobs_here": here, "files_jobs_notices": files_jobs_notices}
