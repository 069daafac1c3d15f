"""The files that a web page shows or offers.

Purpose: the template helpers. Guarantee: they are safe for anonymous visitors and reveal
nothing about a file that the visitor may not see.
"""
