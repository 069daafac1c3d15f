"""``make bench``: what the plugin costs, as ratios to stock CKAN.

Each variant of a call runs in a process of its own, all on the same servers.
In each round every variant runs once, in random order, and does the same work;
the ratio to stock CKAN is taken round by round, so that whatever else the
machine does meanwhile meets both sides alike. The processes are started anew
several times, for no process is quite as fast as another.

Not measured: the web server, uploads, and how long an empty dataset takes to
grow; files are made in the database only, outside of the measured time.
"""
