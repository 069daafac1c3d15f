"""``make demo``: a real site, and a story that is played on it over HTTP."""
