"""Files attached to CKAN entities, and the task queue under them."""
