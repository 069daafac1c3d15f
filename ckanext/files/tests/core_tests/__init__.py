"""CKAN 2.12's own tests of files: on CKAN 2.12 with the plugin loaded, on 2.11 for the backport.

Nothing of them is copied. On CKAN 2.12 they are installed with CKAN; for CKAN 2.11
:mod:`.source` downloads 2.12's wheel, and reads them there. Those that do
not apply to CKAN 2.11 are in ``conftest.py``, but for two modules about what is left out there:
``cli/test_file.py`` (the commands ``ckan file``) and ``lib/files/test_files.py`` (storages that
CKAN 2.12 derives from the default one).
"""
