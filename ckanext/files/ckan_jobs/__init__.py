"""CKAN's background jobs, ``toolkit.enqueue_job`` of every extension, as rows in PostgreSQL.

For code that looks, a job is RQ's job and a queue RQ's queue: ours are subclasses. A job
that a frame or a session with changes asks for is written by their commit, any other one at
once: see :mod:`.commit`. Workers of :mod:`ckanext.files.background` run the jobs.

Refused: jobs that another program than this site has written, and what RQ can only do with
Redis, such as pipelines.
"""
