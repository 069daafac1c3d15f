"""Measurements of what the extension costs: ``python -m benchmarks request`` or ``background``.

``request`` gives the time of an action as a ratio to stock CKAN, ``background`` the jobs a second
of background workers, ours and those of other queues. Both run in rounds: in each round every
contender is measured once, in random order, in processes of its own, so that whatever else the
machine does meanwhile meets all of them alike. Ratios are taken round by round.
"""
