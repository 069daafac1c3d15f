"""The arguments of the validator ``files_transfer_ownership`` in a schema."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from ckan.types import FlattenKey

from ckanext.files.errors import FilesError
from ckanext.files.hint import similar_name
from ckanext.files.store import Owner

from .owners import MODELS

_NAME = re.compile(r"[A-Za-z_][\w-]*")
_KEYWORD = re.compile(r"(owner_type|id_field|pin)=(.*)")


class FieldArgumentError(FilesError, TypeError):
    """The arguments of the validator in a schema are wrong."""


class FieldArguments(NamedTuple):
    """The owner type of a field's files, the field with the owner's id, and whether to pin."""

    owner_type: str
    id_field: str
    pin: bool

    @classmethod
    def parse(cls, owner_type: Any, id_field: Any = "id", pin: Any = True) -> FieldArguments:
        """Parse the arguments as Python or a scheming schema passes them.

        ckanext-scheming passes most arguments as they are written: ``f('package',pin=False)``
        arrives as ``"'package'"`` and ``"pin=False"``.

        :raises FieldArgumentError: the arguments are anything else.
        """
        words = {"owner_type": "", "id_field": "id", "pin": True}
        named: dict[str, Any] = {}
        for name, word in (("owner_type", owner_type), ("id_field", id_field), ("pin", pin)):
            if isinstance(word, str) and (keyword := _KEYWORD.fullmatch(word)):
                named[keyword[1]] = keyword[2]
            else:
                words[name] = word
        words |= named
        if _unquote(words["owner_type"]) == "dataset":
            raise FieldArgumentError(
                "files_transfer_ownership: CKAN calls a dataset 'package' here."
            )
        return cls(
            _read_owner_type(words["owner_type"]),
            _read_name("id_field", words["id_field"]),
            _read_boolean("pin", words["pin"]),
        )

    def entity_key(self, key: FlattenKey) -> FlattenKey:
        """Return the start of a field's key that leads to the owner of its files."""
        if self.owner_type == "resource" and key[0] == "resources":
            return key[:2]
        return ()

    def owner(self, entity: Any) -> Owner | None:
        """Return an entity of an action's result as an owner, if it has an id."""
        id_ = entity.get(self.id_field) if isinstance(entity, dict) else None
        return Owner(self.owner_type, id_) if isinstance(id_, str) and id_ else None


def _unquote(word: Any) -> Any:
    if isinstance(word, str) and len(word) > 1 and word[0] == word[-1] and word[0] in "'\"":
        return word[1:-1]
    return word


def _read_name(argument: str, word: Any) -> str:
    word = _unquote(word)
    if not isinstance(word, str) or not _NAME.fullmatch(word):
        raise _error(argument, word)
    return word


def _read_owner_type(word: Any) -> str:
    """Read a type, which may be one of a plugin, but is no misspelt one of CKAN."""
    name = _read_name("owner_type", word)
    if name not in MODELS and (similar := similar_name(name.lower(), MODELS, least=0.85)):
        raise FieldArgumentError(
            f"files_transfer_ownership: {name!r} is no owner_type. Did you mean {similar!r}?"
        )
    return name


def _read_boolean(argument: str, word: Any) -> bool:
    word = _unquote(word)
    if str(word) not in ("True", "False"):
        raise _error(argument, word)
    return str(word) == "True"


def _error(argument: str, word: Any) -> FieldArgumentError:
    return FieldArgumentError(
        f"files_transfer_ownership: {word!r} is no {argument}."
        " Write files_transfer_ownership(OWNER_TYPE), (OWNER_TYPE,ID_FIELD) or"
        " (OWNER_TYPE,ID_FIELD,PIN) without spaces, such as files_transfer_ownership(package),"
        " files_transfer_ownership(resource,id) or files_transfer_ownership(group,id,False)."
    )
