"""Tests, in the shape of the package; ``acceptance`` starts real processes."""
