"""Tasks that look after files: what nobody needs, what is missing, what is damaged, what moves.

The modules of this package find and change things, on CKAN 2.11 and 2.12 alike;
those of :mod:`.tasks` let a worker do it, a batch for each step. A step is one
commit, every step can be repeated, and each goes on by the ids of files, so a
job that is killed goes on where its last finished step ended.

Nothing is deleted or moved unless it is told so with ``dry_run=False``. A row
is never deleted because its bytes are missing. Bytes go after the commit that
forgets them, by a job of their own that this commit has written.
"""
