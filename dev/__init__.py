"""The surroundings of a developer: packages, environments, servers, and runs of commands in them.

Python's standard library is all that it needs: a bare machine has nothing else. Tools were weighed:
nox does not make an environment again when a requirement has changed; supervisor and honcho start
servers, but do not know when these answer; each needs an environment before it can run.

What it makes is in ``.dev/``, and the data of PostgreSQL in ``/var/tmp``.
"""
