"""There is no backport where CKAN has files."""

from __future__ import annotations

from ckanext.files import capabilities

collect_ignore_glob = ["test_*.py"] if capabilities.CORE_FILES else []
