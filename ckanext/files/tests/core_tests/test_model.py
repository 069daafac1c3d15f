"""CKAN's ``model.test_file``."""

from __future__ import annotations

from .source import from_core

globals().update(from_core("ckan.tests.model.test_file"))
