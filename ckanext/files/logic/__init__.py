"""The edge to CKAN: actions, auth functions, schemas and validators.

Purpose: turn requests into calls of the rooms, and errors of the rooms into CKAN's own.
Guarantee: an auth function is safe for anonymous users, and a file that the user may not use
and a file that does not exist get the same answer.
"""
