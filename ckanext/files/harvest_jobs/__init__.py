"""Harvesting of ckanext-harvest as jobs: its queues of gather and fetch are rows.

What its publishers send becomes a job, once for each message while that waits or runs, and
its consumers are workers. A harvest object is fetched and imported in one commit, and never
again after that. What a kill at any point leaves behind runs again, see :mod:`.recovery`.

Harvesters do not change. Refused: code that looks for a connection to Redis or RabbitMQ in
ckanext-harvest, as no queue is there.

Only processes that have loaded the plugin ``harvest`` import what is in here.
"""
