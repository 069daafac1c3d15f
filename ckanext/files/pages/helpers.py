"""The template helpers of the plugin."""

from __future__ import annotations

from .field import files_field
from .field_words import files_error_text, files_size_patterns, files_then, files_times_left
from .labels import files_field_labels
from .page_files import files_attached

__all__ = [
    "files_attached",
    "files_error_text",
    "files_field",
    "files_field_labels",
    "files_size_patterns",
    "files_then",
    "files_times_left",
]
