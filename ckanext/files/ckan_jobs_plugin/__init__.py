"""The plugin ``files_jobs``: every extension's background jobs in PostgreSQL."""
