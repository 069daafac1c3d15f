"""CKAN's ``lib.test_files``."""

from __future__ import annotations

from .source import from_core

globals().update(from_core("ckan.tests.lib.test_files"))
