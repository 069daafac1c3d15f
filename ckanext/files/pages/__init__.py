"""The files that a web page shows or offers.

All of it is safe for anonymous visitors and tells nothing of a file that the
visitor may not see.
"""
