"""Move any number of files, each to an owner of its own, as one step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from ckan import model
from sqlalchemy.orm import Session

from ckanext.files.errors import FilesError
from ckanext.files.store import FileRecord, Move, Owner, give, read

from .dataset_scope import scope_of
from .policy import judge
from .refusals import Refusal


class Wish(NamedTuple):
    """What somebody wants for a file."""

    owner: Owner
    pin: bool


class TransferRefusedError(FilesError):
    """Some of the files may not go to the new owner. The transaction has to be rolled back."""

    def __init__(self, refusals: Mapping[str, Refusal]) -> None:
        super().__init__("; ".join(refusal.of(id_) for id_, refusal in refusals.items()))
        self.refusals = refusals


def transfer_together(
    session: Session,
    wishes: Mapping[str, Wish],
    files: Mapping[str, FileRecord],
    judge_file: Callable[[str, FileRecord | None], Refusal | None],
    actor: str,
    *,
    force: bool = False,
) -> list[str]:
    """Move files that may move, and are what they are thought to be.

    Whether a file may move is decided from what is known of it, and decided
    again if that has changed in the meantime: then nobody else can touch it
    any more. It neither commits nor rolls back.

    :param wishes: what is wanted for each file, by the file's id.
    :param files: what is known of them.
    :param judge_file: told an id and what is known of that file, returns why
        it may not move.
    :param force: files that are not to be kept by the new owner are let go.
    :returns: the ids of those that have another owner now.
    :raises TransferRefusedError: one may not move.
    """
    refusals = {id_: reason for id_ in wishes if (reason := judge_file(id_, files.get(id_)))}
    if refusals:
        raise TransferRefusedError(refusals)
    moves = [_move(files[id_], wish, force) for id_, wish in wishes.items()]
    moves = [move for move in moves if move.file != (move.file.id, move.owner, move.pinned)]
    lost = give(session, moves, actor) if moves else set()
    gone = [m.file.id for m in moves if m.owner != m.file.owner and m.file.id not in lost]
    if not lost:
        return gone
    if taken := [id_ for id_ in lost if not files[id_].owner]:
        raise TransferRefusedError(dict.fromkeys(taken, Refusal.TAKEN))
    again = {id_: wishes[id_] for id_ in lost}
    now = read(session, lost)
    return gone + transfer_together(session, again, now, judge_file, actor, force=force)


def _move(file: FileRecord, wish: Wish, force: bool) -> Move:
    return Move(file, wish.owner, wish.pin or (file.pinned and not force))


def transfer(
    file_ids: Collection[str],
    owner_type: str,
    owner_id: str,
    *,
    pin: bool = True,
    force: bool = False,
    actor: str = "",
) -> list[str]:
    """Give files to one owner, without asking who wants it.

    For code that has asked already. The owner's real id is needed, not its
    name. It does not commit: within an action that carries a task queue the
    files change hands together with what the action changes.

    :param file_ids: files that belong to anybody or nobody.
    :param pin: let the new owner keep them.
    :param force: take them also from owners that keep them.
    :param actor: name of the user whose doing it is, for the files' history.
    :returns: the ids of those that have another owner now.
    :raises TransferRefusedError: a file does not exist, or its owner keeps it.
        The transaction has to be rolled back then.
    """
    session = model.Session()
    owner = Owner(owner_type, owner_id)
    home = scope_of(session, owner)

    def judge_file(_: str, file: FileRecord | None) -> Refusal | None:
        return judge(file, owner, home, lambda _: True, force=force)

    wishes = dict.fromkeys(file_ids, Wish(owner, pin))
    files = read(session, wishes)
    return transfer_together(session, wishes, files, judge_file, actor, force=force)
