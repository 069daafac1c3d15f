"""CKAN's ``lib.files.test_base``."""

from __future__ import annotations

from .source import from_core

globals().update(from_core("ckan.tests.lib.files.test_base"))
