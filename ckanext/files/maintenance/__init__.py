"""Background tasks that look after files: delete, report, verify and move them.

:mod:`.tasks` lists the tasks for callers; each task stands beside what it does.
They work on CKAN 2.11 and 2.12 alike.

A task goes through files in the order of their ids, a batch for each step. A
step is one commit and can be repeated, so a job whose worker is killed goes on
after its last finished step.

A task deletes or moves no file without ``dry_run=False``. It never deletes a row
because its bytes are missing. A job deletes the row first; the same commit
writes another job, which removes the bytes.
"""
