"""Upgrading a portal: from ckanext-files 1.x, from CKAN 2.11 to 2.12, and fields that name files.

- :mod:`.takeover` makes the tables of ckanext-files 1.x ours, and :mod:`.old_options`
  translates its options.
- :mod:`.to_core` moves files from our tables into CKAN 2.12's.
- :mod:`.claim` gives files to the datasets, resources and so on that name them already.

Each can report what it would do, and can be run again. The first two change all
tables in one transaction, and change nothing when something stands in the way;
a claim commits after each batch. None touches the bytes of a file.
"""
