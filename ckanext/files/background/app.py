"""The Procrastinate app: its registry of tasks, and its queries in CKAN's session."""

from __future__ import annotations

from procrastinate import App

from .connector import SessionConnector

app = App(connector=SessionConnector())
