"""What others see of resources, jobs and the datastore, over connections of their own."""

from __future__ import annotations

import os
import pickle
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
import redis

from ckanext.files.background.schema import SCHEMA
from dev.datastore import WRITE

MAIN = "CKAN_SQLALCHEMY_URL"

_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND length(tablename) = 36"
_ASKED = f"SELECT title FROM {SCHEMA}.files_job WHERE title LIKE 'xloader_submit: %'"
_RESOURCE = re.compile(r"resource: ([0-9a-f-]{36})")


@contextmanager
def database(variable: str) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
    """Give a function that returns the rows of a query, which sees what is committed."""
    with closing(psycopg2.connect(os.environ[variable])) as connection:
        connection.autocommit = True

        def rows(query: str) -> list[tuple[Any, ...]]:
            with connection.cursor() as cursor:
                cursor.execute(query)
                return cursor.fetchall()

        yield rows


class Observer(threading.Thread):
    """Looks all the time for jobs and tables of resources that are not committed."""

    def __init__(self, on_rows: bool) -> None:
        super().__init__(daemon=True)
        self.early: set[str] = set()
        """Ids of resources of which there was more than the resource."""

        self.looks = 0
        self._on_rows = on_rows
        self._stopped = threading.Event()

    def run(self) -> None:
        with database(MAIN) as main, database(WRITE) as datastore:
            while not self._stopped.wait(0.01):
                found = {table for (table,) in datastore(_TABLES)} | self._asked(main)
                # read later: what is committed meanwhile is none of the early ones
                self.early |= found - {each for (each,) in main("SELECT id FROM resource")}
                self.looks += 1

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    def _asked(self, main: Callable[[str], list[tuple[Any, ...]]]) -> set[str]:
        titles = [title for (title,) in main(_ASKED)] if self._on_rows else _titles_in_redis()
        return {found[1] for title in titles if (found := _RESOURCE.search(title))}


def _titles_in_redis() -> list[str]:
    server: Any = redis.Redis.from_url(os.environ["CKAN_REDIS_URL"])
    with server:
        metas = [server.hget(key, "meta") for key in server.keys("rq:job:*")]
    return [pickle.loads(meta).get("title") or "" for meta in metas if meta]
