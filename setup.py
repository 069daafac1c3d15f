"""Package metadata is in setup.cfg; Babel's extractors can only be given here."""

from setuptools import setup

setup(
    message_extractors={
        "ckanext": [
            ("**/tests/**", "ignore", None),
            ("**.py", "python", None),
            ("**.js", "javascript", None),
            ("**/templates/**.html", "ckan", None),
        ],
    },
)
