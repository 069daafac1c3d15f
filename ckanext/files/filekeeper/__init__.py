"""What stands between CKAN and the library file-keeper, on every version of CKAN.

:mod:`.adapters` makes storages of CKAN from the adapters of file-keeper, :mod:`.safe` and
:mod:`.local` store and send files without harm to the site, :mod:`.chunks` reads files of any size,
and :mod:`.prepared` has uploads that were received before. :mod:`.locations` lets one transaction
at a time change what is at a location, and :mod:`.removal` removes bytes that no row names.

CKAN 2.11 and 2.12 differ only in the base classes and tables that the caller passes. This room
imports neither CKAN's files nor the backport.
"""
