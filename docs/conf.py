"""Sphinx makes the site from this folder: ``make docs``.

It runs in the virtual environment of CKAN 2.12, because the reference is made from the code: from
the declarations of the options, the docstrings of the actions, the commands and the public names.
"""

import logging
import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).with_name("tools")))

for name in ("alembic", "procrastinate"):  # they log when CKAN's commands are imported
    logging.getLogger(name).setLevel(logging.WARNING)

project = "ckanext-files"
author = "the authors of ckanext-files"
release = version = version_of("ckanext-files")

extensions = ["sphinx.ext.autodoc", "from_code", "source_role"]
exclude_patterns = ["tools"]
highlight_language = "none"
autodoc_member_order = "bysource"
add_module_names = False
python_maximum_signature_line_length = 80

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["phone.css"]
html_title = f"{project} {release}"
html_show_sphinx = False
html_show_sourcelink = False
html_copy_source = False
