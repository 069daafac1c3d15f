"""The queues of others; their workers load this."""

# only the benchmark itself has them installed
# pyright: reportMissingImports=false

from __future__ import annotations

import os
from typing import Any

import dramatiq as dramatiq_library
import sqlalchemy as sa
from celery import Celery
from celery.signals import worker_process_init
from ckan import model
from dramatiq.brokers.redis import RedisBroker
from huey import RedisHuey
from procrastinate import App, PsycopgConnector
from procrastinate.schema import SchemaManager

from ..process import in_request, load
from . import jobs
from .jobs import nothing
from .queues import REDIS_URL, Queue, TableQueue

_MARK, _SCHEMA = "ckanext-files-benchmark", "benchmark_procrastinate"

load()


def write(number: int) -> None:
    in_request(jobs.write, number)


def _forget_connections(**_: Any) -> None:
    """Leave to the parent, in a process that was forked, the connections to the database."""
    engine: Any = model.Session.get_bind()
    engine.dispose(close=False)


celery_app: Any = Celery("benchmark", broker=REDIS_URL)
celery_app.conf.broker_transport_options = {"global_keyprefix": f"{_MARK}-celery-"}
celery_app.conf.task_ignore_result = True
worker_process_init.connect(_forget_connections)
_celery = [celery_app.task(function).delay for function in (nothing, write)]
celery = Queue(*_celery, keys=f"{_MARK}-celery-*")

broker: Any = RedisBroker(url=REDIS_URL, namespace=f"{_MARK}-dramatiq")
dramatiq_library.set_broker(broker)
_actors = [dramatiq_library.actor(function).send for function in (nothing, write)]
dramatiq = Queue(*_actors, keys=f"{_MARK}-dramatiq*")

huey_app: Any = RedisHuey("ckanext-files-benchmark", url=REDIS_URL)
huey_app.on_startup()(_forget_connections)
huey = Queue(huey_app.task()(nothing), huey_app.task()(write), keys="huey.*.ckanextfilesbenchmark")

_options: Any = {"options": f"-c search_path={_SCHEMA}"}
procrastinate_app = App(
    connector=PsycopgConnector(conninfo=os.environ["CKAN_SQLALCHEMY_URL"], kwargs=_options)
)


def _make_tables() -> None:
    model.Session.execute(sa.text(f"CREATE SCHEMA {_SCHEMA}"))
    model.Session.commit()
    procrastinate_app.open()
    SchemaManager(procrastinate_app.connector).apply_schema()


_tasks = [procrastinate_app.task(name=f.__name__)(f) for f in (nothing, write)]
procrastinate = TableQueue(_SCHEMA, _make_tables, *_tasks)
