"""The result of an action: the fields that name files, and errors on these fields.

A file's new owner is found by the file's id in the field that named it. The position in the
validated data is of no use: CKAN inserts, sorts and leaves out resources on the way from there
to the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from ckan.plugins import toolkit as tk
from ckan.types import Context, FlattenKey

from ckanext.files.error_texts import text_of
from ckanext.files.queue import innermost_queue

from .values import Names, names_of, texts


def completed(result: Any, action: str, user: str) -> Any:
    """Return the result of an action as a dictionary.

    With ``return_id_only`` the result is an id: then CKAN is asked for the dictionary.

    :param action: name of the action, such as ``package_create``.
    """
    if not isinstance(result, str):
        return result
    entity, _, verb = action.rpartition("_")
    if verb not in ("create", "update"):
        return {"id": result}
    # the search index does not have the change yet
    context: Context = {"user": user, "ignore_auth": True, "use_cache": False}
    return tk.get_action(f"{entity}_show")(context, {"id": result})


class ResultField(NamedTuple):
    """One field of the result."""

    key: FlattenKey
    """Names and positions that lead to it, such as ``("resources", 2, "doc")``."""

    value: Any


class ResultFields:
    """The fields of a result that may name files.

    :param keys: keys of the fields in the validated data; their numbers mean nothing.
    """

    def __init__(self, result: Any, keys: Iterable[FlattenKey]) -> None:
        shapes = dict.fromkeys(map(names_of, keys))
        self._fields = {names: list(fields_at(result, names)) for names in shapes}
        self._naming: dict[str, list[ResultField]] = {}
        for field in (field for fields in self._fields.values() for field in fields):
            for text in set(texts(field.value)):
                self._naming.setdefault(text, []).append(field)

    def naming(self, file_id: str) -> list[ResultField]:
        """Return the fields whose value is this file, or a list with it."""
        return self._naming.get(file_id, [])

    def containing(self, file_id: str, key: FlattenKey) -> list[ResultField]:
        """Return the fields of this name with the file's id anywhere in the value.

        For fields that a plugin shows in another form, such as a link.
        """
        return [field for field in self._fields[names_of(key)] if contains(field.value, file_id)]


def contains(value: Any, file_id: str) -> bool:
    """Return whether the id of a file is anywhere in a value."""
    return any(file_id in text for text in texts(value))


def fields_at(value: Any, names: Names, key: FlattenKey = ()) -> Iterator[ResultField]:
    """Yield the fields that names lead to, through lists of dictionaries."""
    if not isinstance(value, dict) or names[0] not in value:
        return
    inner, key = value[names[0]], (*key, names[0])
    if len(names) == 1:
        yield ResultField(key, inner)
    elif isinstance(inner, list):
        for number, item in enumerate(inner):
            yield from fields_at(item, names[1:], (*key, number))


def _keys_naming(value: Any, file_id: str, key: FlattenKey = ()) -> Iterator[FlattenKey]:
    """Yield the keys of all fields of a result that name a file."""
    for name, inner in value.items() if isinstance(value, dict) else ():
        if isinstance(inner, list) and any(isinstance(item, dict) for item in inner):
            for number, item in enumerate(inner):
                yield from _keys_naming(item, file_id, (*key, name, number))
        elif file_id in texts(inner):
            yield (*key, name)


class FieldErrors:
    """Collects sentences about fields, and raises all of them at once in the shape of CKAN."""

    def __init__(self) -> None:
        self._sentences: dict[FlattenKey, list[str]] = {}

    def add(self, key: FlattenKey, sentence: str) -> None:
        """Add a sentence about a field such as ``("resources", 2, "doc")``.

        It becomes ``{"resources": [{}, {}, {"doc": [sentence]}]}``: CKAN's actions for one
        resource look for its errors by position.
        """
        self._sentences.setdefault(key, []).append(sentence)

    def check(self) -> None:
        """:raises ValidationError: there are any."""
        if self._sentences:
            raise tk.ValidationError(self._by_field())

    def _by_field(self) -> dict[str, Any]:
        errors: dict[str, Any] = {}
        for key in sorted(self._sentences, key=len):
            node = errors
            for name, number in zip(key[:-1:2], key[1::2], strict=True):
                found = node.setdefault(name, [])
                if found and isinstance(found[0], str):
                    break  # a form may name the whole field as well: then all are about that
                found.extend({} for _ in range(number + 1 - len(found)))
                node = found[number]
            else:
                found = node.setdefault(key[-1], [])
            found.extend(self._sentences[key])
        return errors


@contextmanager
def errors_on_fields(file_id: str, user: str) -> Iterator[None]:
    """Turn an error about a file into an error of the fields that name it, in a queued task.

    Otherwise the caller of ``package_update`` would not learn from a task's error which field
    it is about. Outside of a task, or where no field of the result names the file, the error
    stays as it is.
    """
    try:
        yield
    except (tk.NotAuthorized, tk.ValidationError) as error:
        queue = innermost_queue()
        if queue is None or queue.result is None:
            raise
        errors = FieldErrors()
        for key in _keys_naming(completed(queue.result, queue.action, user), file_id):
            errors.add(key, text_of(error))
        errors.check()
        raise
