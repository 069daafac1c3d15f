"""A CKAN whose one thread answers all requests, as each thread of a server's pool does.

``ckan run`` has a new thread for each connection, and ends it when a request fails.
"""

from __future__ import annotations

import sys
from wsgiref.simple_server import make_server

from ckan.cli import load_config
from ckan.config.middleware import make_app


def serve(ini: str, port: str) -> None:
    """Answer until the process ends."""
    application = make_app(load_config(ini))
    make_server("127.0.0.1", int(port), application).serve_forever()


if __name__ == "__main__":
    serve(*sys.argv[1:])
