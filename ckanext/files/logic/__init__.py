"""CKAN's way in: actions, auth functions, schemas and validators."""
