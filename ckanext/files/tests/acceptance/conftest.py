"""What these tests leave out."""

from ckanext.files import capabilities

collect_ignore = ["test_move.py"] if capabilities.CORE_FILES else []
"""The move starts on CKAN 2.11 and ends on CKAN 2.12: one run of it is enough."""
