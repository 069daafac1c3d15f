"""Names of the options of harvesting."""

from __future__ import annotations

ENABLED = "ckanext.files.harvest.jobs"
ATOMIC = "ckanext.files.harvest.atomic"
TIMEOUT = "ckanext.files.harvest.{stage}_timeout"
