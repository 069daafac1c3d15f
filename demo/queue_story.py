"""A task of one's own becomes true together with the change, or not at all."""

from __future__ import annotations

from typing import Any

from .cast import Cast
from .narrator import aside, chapter, check, check_same, expect, step
from .people import ORGANIZATION
from .visitor import Answer


def play(cast: Cast) -> None:
    """Play it on the dataset, which is there."""
    chapter("A task of one's own, in the same commit")
    aside("demo/notice.py: the validator of the field `notice` queues a task that writes to the")
    aside("organization, and another one that refuses filler text after that was written.")
    _both_happen(cast)
    _neither_happens(cast)


def _both_happen(cast: Cast) -> None:
    notice = f"The levels of May have arrived in {cast.dataset}"
    step("Alice gives the dataset a notice: package_patch notice=...")
    expect(_patch(cast, notice=notice), 200, "the change is accepted")
    seen = _look(cast)
    for what in ("dataset", "search"):
        check(f"the {what} shows the notice", seen[what]["notice"] == notice, seen[what])
    organization = seen["organization"]
    text = "the task has written it to the organization"
    check(text, organization["description"] == notice, organization)


def _neither_happens(cast: Cast) -> None:
    step("Alice changes title and notice; the last task fails, when all has been written")
    before = _look(cast)
    answer = _patch(cast, title="Changed", notice="Lorem ipsum dolor sit amet")
    expect(answer, 409, "the change is refused")
    check("the task's error is on the field", list(answer.errors) == ["notice"], answer)
    after = _look(cast)
    for what, seen in before.items():
        check_same(what, seen, after[what])


def _patch(cast: Cast, **changes: Any) -> Answer:
    return cast.alice.call("package_patch", {"id": cast.dataset, **changes})


def _look(cast: Cast) -> dict[str, Any]:
    """Return all that can be seen of the change."""
    query = {"q": f"name:{cast.dataset}", "include_private": True}
    organization = {"id": ORGANIZATION, "include_users": False}
    return {
        "dataset": cast.bob.see("package_show", {"id": cast.dataset}),
        "organization": cast.bob.see("organization_show", organization),
        "activity stream": cast.alice.see("package_activity_list", {"id": cast.dataset}),
        "search": cast.bob.see("package_search", query)["results"][0],
    }
