"""The surroundings of a developer: packages, environments, servers, and runs of commands in them.

A bare machine has nothing else, so Python's standard library and Debian's tools are all that it
needs. What it makes is in ``.dev/``, and the data of PostgreSQL in ``/var/tmp``.
"""
