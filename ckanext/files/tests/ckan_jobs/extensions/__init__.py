"""Tests of other extensions about their background jobs, as published, on our rows.

They run in the environment ``2.12-extensions`` or ``2.11-extensions``, see ``dev/extensions.txt``.
Most have other requirements than CKAN, and none of it is loaded in the process of our own tests.
"""
