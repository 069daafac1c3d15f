"""Chain an action of CKAN's core, and keep its name, docstring and marks.

A leaf of its own because both the queue and the actions of files need it.
"""

from __future__ import annotations

from ckan.plugins import toolkit as tk
from ckan.types import Action, ChainedAction

_IDENTITY = ("__doc__", "__name__", "__qualname__", "__module__")


def chain_core_action(core: Action, chained: ChainedAction) -> ChainedAction:
    """Mark an action as chained, and give it the docstring and the marks of the core action.

    CKAN makes a ``partial`` of a chained action and copies ``vars()`` onto it. There
    ``help_show`` finds the docstring, and the API finds the mark that allows GET.
    """
    vars(chained).update(vars(core), **{name: getattr(core, name) for name in _IDENTITY})
    return tk.chained_action(chained)
