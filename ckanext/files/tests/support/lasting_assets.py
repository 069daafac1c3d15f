"""A plugin that lets browsers keep scripts and styles, as a web server in front of CKAN does.

By default CKAN has a browser ask for each of them again on each page, which takes most of the
time of a page.
"""

from __future__ import annotations

from typing import Any

import ckan.plugins as p


class LastingAssetsPlugin(p.SingletonPlugin):
    p.implements(p.IMiddleware, inherit=True)

    def make_middleware(self, app: Any, config: Any) -> Any:
        app.config["SEND_FILE_MAX_AGE_DEFAULT"] = 3600
        return app
