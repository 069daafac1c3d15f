"""Fixtures of the tests of the edges."""

from ckanext.files.tests.background.conftest import app, job_tables

__all__ = ["app", "job_tables"]
