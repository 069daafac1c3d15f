"""The edges of background tasks: plugin, actions, commands, and the header that names a job."""
