"""``make bench-background``: how fast jobs are done, ours and those of other queues.

In each round every contender has a turn, in random order: its workers are
started, warmed up, measured and stopped, so that nobody else's compete for the
machine. Whoever enqueues is a process with CKAN loaded, and so are all workers.
Each job notes when it started, see ``journal``; a turn in which a job is
missing, or was done twice, ends the benchmark.

All of PostgreSQL happens in copies of CKAN's database that are dropped at the
end, see ``databases``. Not measured: how fast jobs are enqueued, and retries.
"""
