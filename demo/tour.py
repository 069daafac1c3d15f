"""The pages of the site that a visitor can click through when the story has been played."""

from __future__ import annotations

from typing import NamedTuple

from .cast import Cast
from .narrator import chapter, expect
from .visitor import Visitor

DRAFT = b"office,euros\nEnvironment,1200000\nParks,800000\n"


class Stop(NamedTuple):
    """A page, and what there is to click on."""

    path: str
    text: str


def play(cast: Cast) -> None:
    """Leave Alice a file of her own, and open each page as its visitor, who has to see it."""
    chapter("The pages")
    expect(cast.alice.upload("budget-2026.csv", DRAFT), 200, "Alice uploads budget-2026.csv")
    for visitor, stops in _tour(cast):
        for stop in stops:
            expect(visitor.open(stop.path), 200, f"{visitor.name} opens {stop.path}")


def show(cast: Cast, login: str, password: str) -> None:
    """Print where all of it is."""
    for visitor, stops in _tour(cast):
        print(f"\n{login}\n  Log in as {visitor.name}, password {password}:\n")
        for stop in stops:
            print(f"  {cast.url}{stop.path}\n    {stop.text}")


def _tour(cast: Cast) -> list[tuple[Visitor, list[Stop]]]:
    dataset = cast.dataset
    alice = [
        Stop(
            f"/dataset/edit/{dataset}",
            'Attachment: "Choose File", then "Update Dataset" at the end of the form',
        ),
        Stop(
            f"/dataset/{dataset}",
            "Its files; after a new one in Measurements also a notice with the progress of its job",
        ),
        Stop(
            f"/dataset/files/{dataset}",
            "All files of the dataset, also those that no field names any more",
        ),
        Stop(
            "/dashboard/files",
            "Her own files: upload; the name of a file leads to title, transfer and deletion",
        ),
        Stop("/dashboard/jobs", "The job that has read measurements.csv, and its history"),
    ]
    admin = [
        Stop("/ckan-admin/files", "The files of all users and datasets"),
        Stop("/ckan-admin/jobs", "All jobs, queues, schedules and workers; pause, cancel, retry"),
    ]
    return [(cast.alice, alice), (cast.admin, admin)]
