"""Values without what differs from run to run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.\d]*(\+00:00)?")


def plain(value: Any, labels: Mapping[str, str]) -> Any:
    """Return a value with labels for ids, names and times."""
    if isinstance(value, Mapping):
        return {str(key): plain(item, labels) for key, item in sorted(value.items())}
    if isinstance(value, (list, tuple)):
        return [plain(item, labels) for item in value]
    if isinstance(value, str):
        for text, label in labels.items():
            value = value.replace(text, label)
        return _TIME.sub("<time>", _UUID.sub("<id>", value))
    return value
