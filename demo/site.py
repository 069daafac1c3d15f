"""The command that serves the demo's site."""

from __future__ import annotations

import json
import logging
from logging.config import fileConfig
from pathlib import Path

import ckan.plugins.toolkit as tk
import click
from ckan import model
from ckan.cli.db import upgrade
from ckan.cli.server import run

from ckanext.files.background_plugin.cli import init

from .people import make_people


@click.command("demo-site")
@click.argument("tokens", type=click.Path(path_type=Path))
@click.option("--host")
@click.option("--port")
@click.pass_context
def demo_site(ctx: click.Context, tokens: Path, host: str, port: str) -> None:
    """Make what the story needs, write the API tokens as JSON, and go on as ``ckan run``.

    One process for both, because each start of CKAN takes seconds.
    """
    # the tables of the plugins: CKAN's are there
    ctx.invoke(upgrade, skip_core=True)
    ctx.invoke(init)
    _configure_logging()
    with ctx.meta["flask_app"].test_request_context():
        unfinished = tokens.with_suffix(".new")
        unfinished.write_text(json.dumps(make_people()))
        unfinished.rename(tokens)
    model.Session.remove()
    ctx.invoke(run, host=host, port=port, disable_reloader=True, threaded=True)


def _configure_logging() -> None:
    """Log as the configuration says: migrations of plugins set up a logging of their own."""
    fileConfig(tk.config["__file__"], disable_existing_loggers=False)
    for logger in logging.root.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.disabled = False
