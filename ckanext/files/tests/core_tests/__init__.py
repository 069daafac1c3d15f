"""CKAN 2.12's own tests of files: on CKAN 2.12 with the plugin loaded, on 2.11 for the backport.

This package copies none of them. On CKAN 2.12 they are installed with CKAN; for CKAN 2.11
:mod:`.test_core` downloads 2.12's wheel, and reads them from there.
``conftest.py`` lists the tests that do not apply to CKAN 2.11. Two modules about what is left out
there do not run at all: ``cli/test_file.py`` (the commands ``ckan file``) and
``lib/files/test_files.py`` (storages that CKAN 2.12 derives from the default one).
"""
