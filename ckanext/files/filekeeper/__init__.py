"""What stands between CKAN and the library file-keeper, on every version of CKAN.

The adapters of file-keeper become storages of CKAN here, and files get in and
out safely. CKAN 2.11 and 2.12 differ only in the base classes that are given.
"""
