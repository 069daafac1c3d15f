"""The files of CKAN 2.12, for CKAN 2.11.

Actions, auth functions, models, options and pages have the names, parameters and results of
CKAN 2.12. Each module stands for one of CKAN 2.12's:

==================  ============================================
:mod:`.tables`      the tables of ckanext-files 1.x
:mod:`.model`       ``ckan.model.file``, ``ckan.model.file_owner``
:mod:`.storage`     ``ckan.lib.files``
:mod:`.action`      ``ckan.logic.action.file``
:mod:`.search`      ``ckan.logic.action.file``: ``_file_search``
:mod:`.auth`        ``ckan.logic.auth.file``
:mod:`.schema`      ``ckan.logic.schema``
:mod:`.validators`  ``ckan.logic.validators``
:mod:`.views`       ``ckan.views.file``
:mod:`.config`      ``ckan.config.declaration``
==================  ============================================

On CKAN 2.12 the extension imports :mod:`.tables` only, to move their rows to CKAN's own tables.

Left out on purpose:

- ``IFiles``, which CKAN 2.12 calls unstable. A plugin can chain auth functions instead, and
  file-keeper finds further adapters by its own entry points.
- Storages for resources, for images of users and groups and for the site's logo: on CKAN 2.11
  CKAN's own uploader stores them.
- The commands ``ckan file ...``: ``ckan files`` has those that a move to CKAN 2.12 needs.
"""
