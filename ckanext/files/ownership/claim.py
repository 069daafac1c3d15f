"""One file that one place of a request names."""

from __future__ import annotations

from typing import NamedTuple

from ckan.types import FlattenKey

from ckanext.files.store import FileRecord

from .field import Field
from .home import Home


class Claim(NamedTuple):
    """A field names a file, which is to belong to what the field describes."""

    file: FileRecord
    """As it was when the validator looked."""

    field: Field

    key: FlattenKey
    """The place in the validated data. Its numbers mean nothing afterwards:
    CKAN 2.12 counts only the resources that have changed."""

    home: Home
    """The dataset that the action updates; an empty home on create."""
