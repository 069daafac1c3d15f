"""The files that a web page shows or offers.

Purpose: the pages of files, and the template helpers. Guarantee: they are safe for anonymous
visitors and reveal nothing about a file that the visitor may not see.
"""

from . import chooser, file, form_uploads, listing, refused

blueprints = [page.blueprint for page in (listing, file, refused, chooser, form_uploads)]
"""The pages."""
