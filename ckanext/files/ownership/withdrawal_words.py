"""What a request says about files that it takes out of a field.

For example, a request that removes two files from fields of a dataset::

    {"id": "annual-report", "attachment": "", ..., "files_withdrawn": [
        {"id": "4f7c6a1c-…", "then": "give_back"},
        {"id": "e0a91d52-…", "then": "delete"},
    ]}

The list may also be in an item of ``resources``: a form for a resource sends it there, and
``resource_update`` passes it on to ``package_update``. All words of a request are about the files
of the whole dataset, wherever they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ckan import model
from ckan.plugins import toolkit as tk
from ckan.types import FlattenKey

from ckanext.files import form_request

from .request_entities import entities
from .results import FieldErrors
from .values import field_key, is_id

FIELD = "files_withdrawn"
"""The key of the list in a request."""

KEEP, GIVE_BACK, DELETE = WITHDRAWAL_CHOICES = "keep", "give_back", "delete"
"""What is done with a file: it stays with its owner; the user who saves gets it; it is deleted."""


class Withdrawal(NamedTuple):
    """One file, and what the request asks for."""

    file_id: str
    then: str

    key: FlattenKey
    """Where the request says so, for errors: in a form the field that had the file."""


class WithdrawalWords:
    """The words of one request, and errors about words that cannot be read."""

    def __init__(self) -> None:
        self.by_file: dict[str, Withdrawal] = {}
        self._errors = FieldErrors()

    @property
    def asked(self) -> dict[str, Withdrawal]:
        """The words by the ids of the files, without those that stay."""
        return {id_: word for id_, word in self.by_file.items() if word.then != KEEP}

    def take_from(self, request: dict[str, Any]) -> dict[str, Any]:
        """Read the words, and return the request without them.

        CKAN keeps unknown keys of a resource: it would store the words. The caller's own
        dictionaries stay whole, for a form that comes back with an error.
        """
        without = request
        for start, entity in entities(request):
            key = (*start, FIELD)
            if FIELD in _extras(entity):
                self._errors.add(key, tk._("Send this as a field of its own"))
            if FIELD not in entity:
                continue
            for word in self._read(entity[FIELD], key):
                self._add(word)
            without = _replaced(without, start, {k: v for k, v in entity.items() if k != FIELD})
        return without

    def check(self) -> None:
        """:raises ValidationError: some words cannot be read."""
        try:
            self._errors.check()
        except tk.ValidationError:
            model.Session.rollback()  # as CKAN does after failed validation
            raise

    def _read(self, value: Any, key: FlattenKey) -> Iterator[Withdrawal]:
        if value is None or value == "":
            return
        if not isinstance(value, list):
            self._errors.add(key, tk._("Must be a list"))
            return
        for item in value:
            fields = item if isinstance(item, dict) else {}
            id_, then = fields.get("id"), fields.get("then")
            if not is_id(id_):
                self._errors.add(key, tk._("Each item needs the id of a file"))
            elif then not in WITHDRAWAL_CHOICES:
                sentence = tk._("{id}: choose one of {words}")
                self._errors.add(key, sentence.format(id=id_, words=", ".join(WITHDRAWAL_CHOICES)))
            else:
                field = form_request.field_taking_out(id_)
                yield Withdrawal(id_, then, (*key[:-1], *field_key(field)) if field else key)

    def _add(self, word: Withdrawal) -> None:
        first = self.by_file.setdefault(word.file_id, word)
        if first.then != word.then:
            sentence = tk._("{id}: choose only one of {words}")
            words = ", ".join((first.then, word.then))
            self._errors.add(word.key, sentence.format(id=word.file_id, words=words))


def _extras(entity: dict[str, Any]) -> Any:
    extras = entity.get("__extras")
    return extras if isinstance(extras, dict) else {}


def _replaced(request: dict[str, Any], start: FlattenKey, entity: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a request with another dictionary at one place."""
    if not start:
        return entity
    name, number = start
    items = [*request[name]]
    items[number] = entity
    return {**request, name: items}
