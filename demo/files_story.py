"""A file becomes the dataset's in the commit that names it, or stays whose it was."""

from __future__ import annotations

import uuid
from typing import Any

from .cast import Cast
from .narrator import chapter, check, expect, step
from .visitor import Answer, Visitor

LEVELS = b"day,centimetres\n2025-05-01,112\n2025-05-02,109\n"


def play(cast: Cast) -> None:
    """Play it on the dataset, which is there."""
    chapter("A file for a dataset")
    report = _upload(cast, "report.csv", LEVELS)
    _refused(cast, report)
    _given_to_dataset(cast, report)
    _failing_update(cast, report)
    _wrong_ids(cast, report)
    chapter("A file for a resource")
    _given_to_resource(cast)


def _upload(cast: Cast, name: str, content: bytes) -> str:
    step(f"Alice uploads {name}, {len(content)} bytes: file_create")
    answer = expect(cast.alice.upload(name, content), 200, "the upload is accepted")
    _check_owner(cast.alice, answer.result["id"], "user", "the file is her own")
    return answer.result["id"]


def _refused(cast: Cast, file_id: str) -> None:
    step("Bob sees the dataset, but not the file")
    expect(cast.bob.call("package_show", {"id": cast.dataset}), 200, "he sees the dataset")
    _check_refused(cast.bob, file_id, "he")


def _given_to_dataset(cast: Cast, file_id: str) -> None:
    step("Alice names the file in the dataset: package_patch attachment=...")
    answer = _patch(cast, attachment=file_id)
    expect(answer, 200, "the change is accepted")
    _check_owner(cast.alice, file_id, "package", "the file is the dataset's", answer.result["id"])
    step("Bob downloads the file")
    _check_download(cast.bob, file_id, LEVELS)
    answer = cast.public.download(file_id)
    expect(answer, 404, "the public, who does not see the private dataset, still cannot")


def _failing_update(cast: Cast, first: str) -> None:
    second = _upload(cast, "newer-report.csv", LEVELS[:16])
    step("Alice names the second file together with a date that is none")
    before = _dataset(cast)
    answer = _patch(cast, attachment=second, checked_on="yesterday")
    expect(answer, 409, "the change is refused")
    check("the error is on the date", list(answer.errors) == ["checked_on"], answer)
    check("the dataset is as it was", _dataset(cast) == before, _dataset(cast))
    _check_owner(cast.alice, first, "package", "the first file is still the dataset's")
    _check_owner(cast.alice, second, "user", "the second file is still Alice's")
    _check_refused(cast.bob, second, "Bob")


def _wrong_ids(cast: Cast, first: str) -> None:
    step("Alice names a file that does not exist, and one of Bob's")
    before = _dataset(cast)
    bobs = cast.bob.upload("private.csv", LEVELS).result["id"]
    words = [_refusal(cast, str(uuid.uuid4())), _refusal(cast, bobs)]
    check("both in the same words, so nobody can probe for files", words[0] == words[1], words)
    check("the dataset is as it was", _dataset(cast) == before, _dataset(cast))
    _check_owner(cast.alice, first, "package", "its file is still the dataset's")
    _check_owner(cast.bob, bobs, "user", "Bob's file is still his own")


def _refusal(cast: Cast, file_id: str) -> list[str]:
    answer = expect(_patch(cast, attachment=file_id), 409, "the change is refused")
    check("the error is on the field", list(answer.errors) == ["attachment"], answer)
    return [message.replace(file_id, "ID") for message in answer.errors["attachment"]]


def _given_to_resource(cast: Cast) -> None:
    file_id = _upload(cast, "levels.csv", LEVELS)
    _check_refused(cast.bob, file_id, "Bob")
    resource = {
        "package_id": cast.dataset,
        "name": "Levels of May",
        "format": "CSV",
        "url": f"{cast.url}/file/download/{file_id}",
        "file": file_id,
    }

    step("Alice names it in a new resource, together with a date that is none")
    before = _dataset(cast)
    answer = cast.alice.call("resource_create", {**resource, "checked_on": "yesterday"})
    expect(answer, 409, "the resource is refused")
    check("the error is on the date", list(answer.errors) == ["checked_on"], answer)
    check("the dataset is as it was", _dataset(cast) == before, _dataset(cast))
    _check_owner(cast.alice, file_id, "user", "the file is still Alice's")

    step("Alice names it in a new resource: resource_create file=...")
    answer = cast.alice.call("resource_create", resource)
    expect(answer, 200, "the resource is accepted")
    text = "the file is the resource's"
    _check_owner(cast.alice, file_id, "resource", text, answer.result["id"])
    step("Bob downloads it")
    _check_download(cast.bob, file_id, LEVELS)


def _patch(cast: Cast, **changes: Any) -> Answer:
    return cast.alice.call("package_patch", {"id": cast.dataset, **changes})


def _dataset(cast: Cast) -> Any:
    return cast.bob.see("package_show", {"id": cast.dataset})


def _check_owner(
    visitor: Visitor, file_id: str, owner_type: str, text: str, owner_id: str | None = None
) -> None:
    found = visitor.see("file_show", {"id": file_id})
    same_id = owner_id in (None, found["owner_id"])
    check(text, found["owner_type"] == owner_type and same_id, found)


def _check_refused(visitor: Visitor, file_id: str, who: str) -> None:
    expect(visitor.call("file_show", {"id": file_id}), 403, f"{who} is refused what is known of it")
    # CKAN does not tell a stranger that there is such a file
    expect(visitor.download(file_id), 404, f"{who} is refused the bytes")


def _check_download(visitor: Visitor, file_id: str, content: bytes) -> None:
    answer = expect(visitor.download(file_id), 200, "the download works")
    check("the bytes are the same", answer.body == content, answer)
