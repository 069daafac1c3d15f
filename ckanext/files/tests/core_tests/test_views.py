"""CKAN's ``controllers.test_file``."""

from __future__ import annotations

from .source import from_core

globals().update(from_core("ckan.tests.controllers.test_file"))
