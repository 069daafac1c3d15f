"""The pages of the site that a visitor can click through when the story has been played."""

from __future__ import annotations

from typing import NamedTuple

from .cast import Cast
from .narrator import chapter, expect
from .visitor import Visitor


class Stop(NamedTuple):
    """A page, and what there is to see and to do."""

    path: str
    text: str


def play(cast: Cast) -> None:
    """Open each page as its visitor, who has to see it."""
    chapter("The pages")
    for visitor, stops in _tour(cast):
        for stop in stops:
            expect(visitor.open(stop.path), 200, f"{visitor.name} opens {stop.path}")


def show(cast: Cast) -> None:
    """Print where all of it is."""
    for visitor, stops in _tour(cast):
        print(f"\n  As {visitor.name}:")
        for stop in stops:
            print(f"    {cast.url}{stop.path}\n      {stop.text}")


def _tour(cast: Cast) -> list[tuple[Visitor, list[Stop]]]:
    dataset = cast.dataset
    alice = [
        Stop(f"/dataset/edit/{dataset}", "attach, replace and withdraw files, and save"),
        Stop(f"/dataset/{dataset}", "the files, with a notice of the job after a new series"),
        Stop(f"/dataset/files/{dataset}", "all files of the dataset, also those taken out of it"),
        Stop("/dashboard/files", "her own files: upload, rename, give away, delete"),
        Stop("/dashboard/jobs", "the jobs that she has asked for"),
    ]
    admin = [
        Stop("/ckan-admin/files", "the files of all users"),
        Stop("/ckan-admin/jobs", "all jobs, the queues, the workers, the last hour"),
    ]
    return [(cast.alice, alice), (cast.admin, admin)]
