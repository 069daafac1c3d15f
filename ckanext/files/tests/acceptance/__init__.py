"""Tests with real processes: servers, workers, browsers."""
