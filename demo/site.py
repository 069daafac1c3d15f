"""The command that serves the demo's site."""

from __future__ import annotations

import json
import logging
import os
import sys
from logging.config import fileConfig

import ckan.plugins.toolkit as tk
import click
from ckan import model
from ckan.cli.db import upgrade
from ckan.cli.server import run

from ckanext.files.background_plugin.cli.init import init

from .people import make_people


@click.command("demo-site")
@click.argument("host")
@click.argument("port")
@click.pass_context
def demo_site(ctx: click.Context, host: str, port: str) -> None:
    """Make what the story needs, print the API tokens as JSON, and go on as ``ckan run``.

    One process for both, because each start of CKAN takes seconds.
    """
    # the tables of the plugins: those of CKAN are there
    ctx.invoke(upgrade, skip_core=True)
    ctx.invoke(init)
    _configure_logging()
    with ctx.meta["flask_app"].test_request_context():
        tokens = make_people()
    model.Session.remove()
    click.echo(json.dumps(tokens))
    _end_output()
    ctx.invoke(run, host=host, port=port, disable_reloader=True, threaded=True)


def _configure_logging() -> None:
    """Log as the configuration says: migrations of plugins set up a logging of their own."""
    fileConfig(tk.config["__file__"], disable_existing_loggers=False)
    for logger in logging.root.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.disabled = False


def _end_output() -> None:
    """Close the pipe to the reader of the tokens; what is printed from now on goes to the log."""
    sys.stdout.flush()
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
