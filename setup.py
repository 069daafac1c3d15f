"""Package metadata is in setup.cfg; here is what only Python can say.

Babel's extractors, and the README as a package index shows it: there, links to
files of the repository need its address, which the clone line of the README names.
"""

import re
from pathlib import Path

from setuptools import setup

README = Path(__file__).with_name("README.rst").read_text(encoding="utf-8")
REPOSITORY = re.findall(r"git clone (https://\S+)\.git\b", README)[0]

#: The target of a link that is neither an address nor a place in the README.
FILE = re.compile(r"(?<=\s<)(?!\w+:|#)[^<>\s]+(?=>`_)")

setup(
    url=REPOSITORY,
    long_description=FILE.sub(rf"{REPOSITORY}/blob/HEAD/\g<0>", README),
    message_extractors={
        "ckanext": [
            ("**/tests/**", "ignore", None),
            ("**.py", "python", None),
            ("**.js", "javascript", None),
            ("**/templates/**.html", "ckan", None),
        ],
    },
)
