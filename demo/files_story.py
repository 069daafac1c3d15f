"""A file becomes the dataset's in the commit that names it, or stays whose it was."""

from __future__ import annotations

import re
import uuid
from typing import Any

from .cast import Cast
from .narrator import chapter, check, check_same, expect, step
from .visitor import Answer, Visitor

LEVELS = b"day,centimetres\n2025-05-01,112\n2025-05-02,109\n"


def play(cast: Cast) -> None:
    """Play it on the dataset, which is there."""
    chapter("A file for a dataset")
    report = _upload(cast, "levels-may.csv", LEVELS)
    _refused(cast, report)
    _given_to_dataset(cast, report)
    newer = _failing_update(cast, report)
    _wrong_ids(cast, newer)
    chapter("A file for a resource")
    _given_to_resource(cast)


def _upload(cast: Cast, name: str, content: bytes) -> str:
    step(f"Alice uploads {name}, {len(content)} bytes: file_create")
    answer = expect(cast.alice.upload(name, content), 200, "the upload is accepted")
    _check_owner(cast.alice, answer.result["id"], "user", "the file is her own")
    return answer.result["id"]


def _refused(cast: Cast, file_id: str) -> None:
    step("Bob sees the dataset, but not the file")
    expect(cast.bob.call("package_show", {"id": cast.dataset}), 200, "Bob sees the dataset")
    _check_refused(cast, file_id)


def _given_to_dataset(cast: Cast, file_id: str) -> None:
    step("Alice names the file in the dataset's field: package_update attachment=...")
    changed = {**_dataset(cast), "attachment": file_id}
    answer = cast.alice.call("package_update", changed)
    expect(answer, 200, "the change is accepted")
    _check_owner(cast.alice, file_id, "package", "the file is the dataset's", answer.result["id"])
    step("Bob opens the dataset's page, and downloads the file")
    _check_link(cast, f"/dataset/{cast.dataset}", file_id, "levels-may.csv")
    _check_download(cast.bob, file_id, LEVELS)
    answer = cast.public.download(file_id)
    expect(answer, 404, "the public, who does not see the private dataset, still cannot")


def _failing_update(cast: Cast, first: str) -> str:
    second = _upload(cast, "levels-may-corrected.csv", LEVELS[:16])
    step("Alice names the second file and gives an invalid date with it")
    before = _dataset(cast)
    answer = _patch(cast, attachment=second, checked_on="yesterday")
    expect(answer, 409, "the change is refused")
    check("the error is on the date", list(answer.errors) == ["checked_on"], answer)
    check_same("dataset", before, _dataset(cast))
    _check_owner(cast.alice, first, "package", "the first file is still the dataset's")
    _check_owner(cast.alice, second, "user", "the second file is still Alice's")
    _check_refused(cast, second)
    step("Alice corrects the date")
    expect(_patch(cast, attachment=second, checked_on="2025-06-01"), 200, "the change is accepted")
    _check_owner(cast.alice, second, "package", "the second file is the dataset's now")
    return second


def _wrong_ids(cast: Cast, attached: str) -> None:
    step("Alice names a file that does not exist, and one of Bob's")
    before = _dataset(cast)
    bobs = cast.bob.upload("notes.csv", LEVELS).result["id"]
    words = [
        _refusal(cast, str(uuid.uuid4()), "an unknown file"),
        _refusal(cast, bobs, "Bob's file"),
    ]
    check(
        "both are refused in the same words, so Alice learns of no file of another user",
        words[0] == words[1],
        words,
    )
    check_same("dataset", before, _dataset(cast))
    _check_owner(cast.alice, attached, "package", "its file is still the dataset's")
    _check_owner(cast.bob, bobs, "user", "Bob's file is still his own")
    cast.bob.see("file_delete", {"id": bobs})


def _refusal(cast: Cast, file_id: str, which: str) -> list[str]:
    answer = expect(_patch(cast, attachment=file_id), 409, f"{which} is refused")
    words = answer.errors.get("attachment", [])
    check(
        f"the error is on the field: {' '.join(words)}",
        list(answer.errors) == ["attachment"],
        answer,
    )
    return [message.replace(file_id, "ID") for message in words]


def _given_to_resource(cast: Cast) -> None:
    file_id = _upload(cast, "levels-june.csv", LEVELS)
    _check_refused(cast, file_id)
    resource = {
        "package_id": cast.dataset,
        "name": "Levels of June",
        "format": "CSV",
        "url": f"{cast.url}/file/download/{file_id}",
        "file": file_id,
    }

    step("Alice names it in a new resource, and gives an invalid date with it")
    before = _dataset(cast)
    answer = cast.alice.call("resource_create", {**resource, "checked_on": "yesterday"})
    expect(answer, 409, "the resource is refused")
    check("the error is on the date", list(answer.errors) == ["checked_on"], answer)
    check_same("dataset", before, _dataset(cast))
    _check_owner(cast.alice, file_id, "user", "the file is still Alice's")

    step("Alice names it in a new resource: resource_create file=...")
    answer = cast.alice.call("resource_create", resource)
    expect(answer, 200, "the resource is accepted")
    text = "the file is the resource's"
    _check_owner(cast.alice, file_id, "resource", text, answer.result["id"])
    step("Bob opens the resource's page, and downloads the file")
    _check_link(
        cast, f"/dataset/{cast.dataset}/resource/{answer.result['id']}", file_id, "levels-june.csv"
    )
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


def _check_refused(cast: Cast, file_id: str) -> None:
    expect(cast.bob.call("file_show", {"id": file_id}), 403, "Bob is refused the file's details")
    # CKAN does not tell a stranger that there is such a file
    expect(cast.bob.download(file_id), 404, "Bob is refused the download")


def _check_link(cast: Cast, page: str, file_id: str, name: str) -> None:
    answer = cast.bob.open(page)
    # the name follows the address, with perhaps an icon in between
    link = rf'/file/download/{file_id}"[^>]*>(<[^>]*>|\s)*{re.escape(name)}'
    found = re.search(link.encode(), answer.body)
    check(f"the page links to {name}", bool(found), f"HTTP {answer.status} without the link")


def _check_download(visitor: Visitor, file_id: str, content: bytes) -> None:
    answer = expect(visitor.download(file_id), 200, "the download works")
    check("the bytes are the same", answer.body == content, answer)
