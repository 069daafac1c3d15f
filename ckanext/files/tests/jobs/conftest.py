"""Fixtures of the tests of the edges."""

from ckanext.files.tests.background.conftest import job_tables

__all__ = ["job_tables"]
