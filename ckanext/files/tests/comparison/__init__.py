"""The files of CKAN 2.12's core and those of the backport, asked the same questions.

What core answers is kept in ``core/``; CKAN 2.12 and 2.11 both have to answer
so. Only where core fails with HTTP 500 the backport refuses. After a change of
the questions or of core::

    dev/run.sh 2.12 pytest ckanext/files/tests/comparison --record-answers
"""
