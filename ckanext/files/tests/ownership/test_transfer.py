"""Bulk transfer, for code that has asked already."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model

from ckanext.files.ownership import Refusal, TransferRefusedError, transfer, transfer_together
from ckanext.files.store import Owner, OwnerChange, read_files
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.portal import OWNERS, history, owners, put

A, B = Owner("package", "a"), Owner("package", "b")


def give(files: list[str], *, pin: bool = True, force: bool = False) -> list[str]:
    return transfer(model.Session(), files, OwnerChange(A, pin), "me", force=force)


def test_transfer() -> None:
    theirs, free, here = *put(B), *put(None), *put(A)
    assert sorted(give([theirs, free, here])) == sorted([theirs, free])
    assert owners(theirs, free) == [(*B, False), None]
    model.Session.commit()
    assert owners(theirs, free, here) == [(*A, True)] * 3
    assert history(theirs) == [(*B, "me")]


def test_nothing_moves_when_one_may_not() -> None:
    theirs, kept = *put(B), *put(B, pinned=True)
    with pytest.raises(TransferRefusedError) as caught:
        give([theirs, kept, "nix"])
    assert caught.value.refusals == {kept: Refusal.PINNED, "nix": Refusal.UNKNOWN}
    assert kept in str(caught.value)
    model.Session.commit()
    assert owners(theirs, kept) == [(*B, False), (*B, True)]


def test_force() -> None:
    (kept,) = put(B, pinned=True)
    give([kept], pin=False, force=True)
    model.Session.commit()
    assert owners(kept) == [(*A, False)]


def test_nothing_to_do() -> None:
    (here,) = put(A, pinned=True)
    assert give([here]) == []
    assert give([here], pin=False) == []
    assert give([]) == []
    model.Session.commit()
    assert owners(here) == [(*A, True)]
    assert history(here) == []


def test_owner_that_appears_meanwhile() -> None:
    """CKAN's own transfer of a file without an owner is not kept off by any lock."""
    free, theirs = *put(None), *put(B)
    insert = sa.text(
        f"INSERT INTO {OWNERS} (file_id, owner_type, owner_id, pinned)"
        " VALUES (:id, 'package', 'c', false)"
    )

    def refusal_of(file_id: str, file: Any) -> Refusal | None:
        if file.owner is None:
            with engine().begin() as other:
                other.execute(insert, {"id": file_id})
        return None

    changes = dict.fromkeys((free, theirs), OwnerChange(A, True))
    files = read_files(model.Session(), changes)
    with pytest.raises(TransferRefusedError) as caught:
        transfer_together(model.Session(), files, changes, refusal_of, "me")
    assert caught.value.refusals == {free: Refusal.TAKEN}
    model.Session.rollback()
    assert owners(free, theirs) == [("package", "c", False), (*B, False)]


def test_judged_again_when_something_has_changed() -> None:
    first, second = put(B, 2)
    seen: list[Any] = []

    def refusal_of(file_id: str, file: Any) -> Refusal | None:
        seen.append(file)
        if len(seen) == 2:
            with engine().begin() as other:
                other.execute(
                    sa.text(f"UPDATE {OWNERS} SET owner_id = 'c' WHERE file_id = :id"),
                    {"id": first},
                )
        return Refusal.UNKNOWN if file.owner.id == refused else None

    changes = dict.fromkeys((first, second), OwnerChange(A, True))
    for refused in ("nobody", "c"):
        with engine().begin() as other:
            other.execute(sa.text(f"UPDATE {OWNERS} SET owner_id = 'b' WHERE owner_id = 'c'"))
        seen.clear()
        files = read_files(model.Session(), changes)
        if refused == "c":
            with pytest.raises(TransferRefusedError) as caught:
                transfer_together(model.Session(), files, changes, refusal_of, "me")
            assert caught.value.refusals == {first: Refusal.UNKNOWN}
        else:
            moved = transfer_together(model.Session(), files, changes, refusal_of, "me")
            assert sorted(moved) == sorted([first, second])
        assert [file.owner.id for file in seen] == ["b", "b", "c"]
        model.Session.rollback()
