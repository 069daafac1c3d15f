"""Measurements of what the extension costs: ``python -m benchmarks`` with the name of one.

All run in rounds: in each round every contestant has a turn, in random order, in a process of its
own, so that whatever else the machine does meanwhile meets all of them alike. Ratios are taken
round by round.
"""
