"""How Sphinx makes the site: `make docs`."""

import os
import re
import sys
from importlib.metadata import version as installed
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).parent
REPOSITORY = DOCS.parent
sys.path[:0] = [str(REPOSITORY), str(DOCS)]
# The notebooks make up their results with what the tests make them up with.
os.environ["PYTHONPATH"] = str(REPOSITORY)

project = "litesweep"
author = "the litesweep authors"
version = release = installed("litesweep")

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_nb", "table_of_keys"]
exclude_patterns = ["**.ipynb_checkpoints"]
html_theme = "furo"
html_title = f"litesweep {release}"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["dark.css"]

autodoc_typehints = "none"  # NumPy style docstrings say them
napoleon_google_docstring = False
napoleon_use_rtype = False

myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_merge_streams = True


def name_what_is_outside(_app: Sphinx, _name: str, source: list[str]) -> None:
    """Turn links to files of the repository that are no page here into their paths."""

    def named(link: re.Match[str]) -> str:
        text, path = link.groups()
        return text if path.rstrip("/") in text else f"{text} (`{path}`)"

    source[0] = re.sub(r"\[([^\]]+)\]\(\.\./([^)]+)\)", named, source[0])


def setup(app: Sphinx) -> None:
    """Let Sphinx do that to every page."""
    app.connect("source-read", name_what_is_outside)
