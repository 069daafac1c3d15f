"""Fixtures of the tests of the edges."""

from ckanext.files.tests.background.conftest import app, define, job_tables

__all__ = ["app", "define", "job_tables"]
