"""Start the site, play the story, and leave the site to the visitor."""

from __future__ import annotations

import os
import signal
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from requests import RequestException

from dev.process import HOST, ProcessError, free_port

from . import background_story, files_story, queue_story, tour
from .cast import Cast
from .narrator import BrokenError, chapter, expect, fail, step
from .people import ORGANIZATION, PASSWORD
from .server import Site, command_line, running, worker
from .visitor import RefusedError

HERE = Path(__file__).resolve().parent
INI = HERE / "demo.ini"

CKAN = version("ckan")
SERIES = ".".join(CKAN.split(".")[:2])

LOGS = HERE.parent / ".dev/log"
LOG = LOGS / f"demo-{SERIES}.log"
WORKER_LOG = LOGS / f"demo-{SERIES}-worker.log"
PORTS = {"2.11": 5011, "2.12": 5012}


def main() -> int:
    """Return the exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    began = time.monotonic()
    print(f"A site with CKAN {CKAN} and ckanext-files {version('ckanext-files')}", flush=True)
    port = free_port(PORTS[SERIES])
    # CKAN finds the demo's plugin by the entry point in metadata/
    path = os.pathsep.join([str(HERE.parent), str(HERE / "metadata")])
    site_url = f"http://{HOST}:{port}"
    environment = {**os.environ, "CKAN_SITE_URL": site_url, "PYTHONPATH": path}
    site = Site(INI, LOG, port, environment)
    try:
        with running(site):
            cast = Cast.gather(site.url, site.tokens())
            with running(worker(INI, WORKER_LOG, environment)):
                site.wait_until_it_answers()
                _play(cast)
                print(f"\nAll of it holds ({time.monotonic() - began:.0f} s).", flush=True)
                if os.environ.get("SERVE") != "0":
                    folder = LOGS.parent / f"demo-{SERIES}"
                    _leave_open(site, cast, command_line(folder, INI, environment))
    except (BrokenError, RefusedError, ProcessError, RequestException) as error:
        fail(error)
        _show_logs()
        return 1
    return 0


def _end(number: int, frame: object) -> NoReturn:
    sys.exit(128 + number)


def _play(cast: Cast) -> None:
    chapter("The site")
    step(f"Alice, an editor, makes the private dataset {cast.dataset}: package_create")
    dataset = {
        "name": cast.dataset,
        "title": "Water levels",
        "owner_org": ORGANIZATION,
        "private": True,
    }
    expect(cast.alice.call("package_create", dataset), 200, "the dataset is made")
    expect(cast.bob.call("package_show", {"id": cast.dataset}), 200, "Bob, a member, sees it")
    expect(cast.public.call("package_show", {"id": cast.dataset}), 403, "the public does not")
    files_story.play(cast)
    queue_story.play(cast)
    background_story.play(cast)
    tour.play(cast)


def _leave_open(site: Site, cast: Cast, ckan: Path) -> None:
    tour.show(cast, f"{cast.url}/user/login", PASSWORD)
    print("\nThe command line of this site, in another terminal:")
    print(f"  {os.path.relpath(ckan)} files background status")
    print("Tab completes its words in bash after this line:")
    print(f'  eval "$(_CKAN_COMPLETE=bash_source {os.path.relpath(ckan)})"')
    _show_logs()
    print("\nCtrl-C stops the site.", flush=True)
    try:
        site.wait(None)
    except KeyboardInterrupt:
        print("\nThe site is stopped.")
        return
    raise ProcessError("the web server has ended: make demo makes a new site")


def _show_logs() -> None:
    print(f"\nThe log of the web server: {os.path.relpath(LOG)}")
    print(f"The log of the worker:     {os.path.relpath(WORKER_LOG)}")


if __name__ == "__main__":
    sys.exit(main())
