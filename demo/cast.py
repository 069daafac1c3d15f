"""The people of the story, each with a connection to the site."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from .visitor import Visitor


def _new_name() -> str:
    return time.strftime("water-levels-%Y%m%d-%H%M%S")


@dataclass(frozen=True)
class Cast:
    """Who plays, and where."""

    url: str
    alice: Visitor
    """Editor of the organization."""
    bob: Visitor
    """Member of the organization: sees its private datasets."""
    admin: Visitor
    """Sysadmin."""
    public: Visitor
    """A visitor without a login."""
    dataset: str = field(default_factory=_new_name)
    """Name of this run's dataset; earlier runs have left theirs."""

    @classmethod
    def gather(cls, url: str, tokens: Mapping[str, str]) -> Cast:
        """Give each of them their token."""
        alice, bob, admin = (Visitor(name, url, tokens[name]) for name in ("alice", "bob", "admin"))
        return cls(url, alice, bob, admin, Visitor("the public", url))
