"""The files that a web page shows or offers.

Purpose: the pages of files, and the template helpers. Guarantee: they are safe for anonymous
visitors and reveal nothing about a file that the visitor may not see.
"""

from . import chooser, file, form_uploads, listing, refused

blueprints = [
    *(listing.blueprint, file.blueprint, refused.blueprint),
    *(chooser.blueprint, form_uploads.blueprint),
]
"""The pages."""
