"""There is nothing to move to where CKAN has no files."""

from __future__ import annotations

from ckanext.files import capabilities

collect_ignore = [] if capabilities.CORE_FILES else ["test_to_core.py"]
