"""Times, as the commands print them."""

from __future__ import annotations

import datetime as dt


def moment(at: dt.datetime | None) -> str:
    """Return a time in UTC, to the second; nothing for None."""
    return f"{at.astimezone(dt.timezone.utc):%Y-%m-%d %H:%M:%S}" if at else ""
