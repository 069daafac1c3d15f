"""The page of one file: what it is, a preview, and what its visitor may do with it.

Each change is a form of its own that leads back to the page, or to the list from which the visitor
has come. A form that was refused is shown again as it was sent, with the reason beside it. The
actions behind the forms decide who may do what; the page shows the same.
"""

from . import forms
from .page import blueprint

__all__ = ["blueprint", "forms"]
