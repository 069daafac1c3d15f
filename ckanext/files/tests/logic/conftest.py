"""There is nothing to test where CKAN has no files."""

from __future__ import annotations

from ckanext.files import capabilities

collect_ignore_glob = [] if capabilities.CORE_FILES else ["test_*.py"]
