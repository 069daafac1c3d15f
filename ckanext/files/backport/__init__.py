"""The files of CKAN 2.12, for CKAN 2.11.

Actions, auth functions, models, options and the download page have the names,
parameters and results that they have in CKAN 2.12. There nothing of this
package is loaded but :mod:`.tables`, which the move to core reads.

Left out on purpose:

- ``IFiles``, which CKAN 2.12 calls unstable. Auth functions can be chained
  instead, and adapters of ``file-keeper`` are found by its own entry points.
- Storages for resources, for images of users and groups and for the site's
  logo: on 2.11 CKAN's own uploader keeps them where they have always been.
- The commands ``ckan file ...``; ``ckan files`` has those that a move needs.
"""
