"""The same calls and downloads for the files of CKAN 2.12's core and for the backport.

``core/`` holds the answers of core; CKAN 2.12 and 2.11 both have to give them. Only where core
fails with HTTP 500, or reveals that a file of another user exists, the backport refuses in its own
words. After a change of the calls or of core::

    dev/run.sh 2.12 pytest ckanext/files/tests/comparison --record-answers
"""
