"""Uploads that were received before: a storage may only have to take over their bytes."""

from __future__ import annotations

import dataclasses
from typing import Any

import file_keeper as fk


@dataclasses.dataclass
class PreparedUpload(fk.Upload):
    """An upload whose location was chosen earlier, and whose bytes may be in the storage already.

    Its size is measured and its type is found in its content, by the code that makes it.
    """

    location: Any = ""
    """Where it goes; empty if the storage chooses."""

    def place(self, storage: Any, location: fk.Location) -> fk.FileData | None:
        """Let the storage have the bytes without a copy of them; None if it has to copy them."""
        return None
