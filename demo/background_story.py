"""A job is written by the commit that asks for it, and done after it, step by step."""

from __future__ import annotations

import time
from typing import Any

from .cast import Cast
from .narrator import aside, chapter, check, expect, step
from .visitor import Answer

LINES = 1_200_000
PATIENCE_SECONDS = 120
POLL_SECONDS = 0.1


def play(cast: Cast) -> None:
    """Play it on the dataset, which is there."""
    chapter("Work in the background")
    aside("demo/inspection.py: the validator of the field `measurements` asks for a job, which")
    aside("reads the table, some megabytes a step, and then verifies the checksum of the file.")
    table = _upload(cast)
    _no_job_without_the_change(cast, table)
    job = _asked_for(cast, table)
    _watch(cast, job)
    _hidden_from_bob(cast, job)


def _upload(cast: Cast) -> str:
    lines = (b"2025-%06d,%d\n" % (n, n % 397) for n in range(LINES))
    content = b"".join([b"day,level\n", *lines])
    step(f"Alice uploads measurements.csv, {len(content) / 10**6:.0f} MB: file_create")
    answer = cast.alice.upload("measurements.csv", content)
    return expect(answer, 200, "the upload is accepted").result["id"]


def _no_job_without_the_change(cast: Cast, table: str) -> None:
    step("Alice names the table and gives an invalid date with it")
    before = _jobs(cast)
    expect(_patch(cast, measurements=table, checked_on="yesterday"), 409, "the change is refused")
    check("there is no job", _jobs(cast) == before, _jobs(cast))


def _asked_for(cast: Cast, table: str) -> int:
    step("Alice names the table: package_patch measurements=...")
    before = _jobs(cast)
    answer = expect(_patch(cast, measurements=table), 200, "the change is accepted")
    new = [job for job in _jobs(cast) if job not in before]
    check("there is one job, by the same commit", len(new) == 1, new)
    header = "Taskqueue-Location"
    address = answer.headers.get(header, "")
    path = address.removeprefix(cast.url)
    check(f"its address is in the header {header}: {path}", bool(address), answer.headers)
    shown = expect(cast.alice.follow(address), 200, "Alice follows the address").result
    check("it is that job", shown["id"] == new[0], shown)
    return new[0]


def _watch(cast: Cast, job: int) -> None:
    step("Alice watches the job: files_job_show")
    seen = _poll(cast, job)
    last = seen[-1]
    check("the job has succeeded", last["status"] == "succeeded", last["error"] or last)
    percents = [shown["percent"] or 0 for shown in seen]
    check("its progress was seen, and never went back", percents == sorted(percents), percents)
    steps = {shown["step"] for shown in seen}
    check(f"it took {last['step']} steps, each a commit", len(steps) > 2, steps)
    check("it is the checksum of the upload", "as it was stored" in last["text"], last)


def _poll(cast: Cast, job: int) -> list[dict[str, Any]]:
    """Look at a job until it has ended; return all that was seen."""
    seen: list[dict[str, Any]] = []
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        shown = cast.alice.see("files_job_show", {"id": job})
        if not seen or shown != seen[-1]:
            seen.append(shown)
            if shown["text"]:
                aside(f"{shown['percent']:4.0f} %  {shown['text']}")
        if shown["finished"]:
            break
        time.sleep(POLL_SECONDS)
    return seen


def _hidden_from_bob(cast: Cast, job: int) -> None:
    step("Bob looks for Alice's job, and for one that does not exist")
    unknown = job + 1_000_000
    words = []
    for number in (job, unknown):
        answer = expect(cast.bob.call("files_job_show", {"id": number}), 403, "Bob is refused")
        words.append(str(answer.message["error"]["message"]).replace(str(number), "ID"))
    check("in the same words, so Bob learns of no job of another user", words[0] == words[1], words)
    check("and sees none in the list", cast.bob.see("files_job_list", {})["results"] == [])


def _jobs(cast: Cast) -> list[int]:
    """Return the ids of Alice's jobs."""
    found = cast.alice.see("files_job_list", {"limit": 1000})
    return [job["id"] for job in found["results"]]


def _patch(cast: Cast, **changes: Any) -> Answer:
    return cast.alice.call("package_patch", {"id": cast.dataset, **changes})
