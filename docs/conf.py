"""Configuration of the documentation site: `make -C docs html`.

The pages are the Markdown files of the repository as they stand, so the source folder of Sphinx is the
repository itself, and a link from one page to another is the same on the site and in the repository.
"""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "_ext"))

import eventsnn  # noqa: E402

project = "eventsnn"
author = copyright = "the eventsnn developers"
version = release = eventsnn.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "equations",
    "commands",
    "executed",
    "api",
]
root_doc = "docs/index"
include_patterns = [
    *("docs/*.md", "docs/*/*.md"),
    *("CONTRIBUTING.md", "CHANGELOG.md", "datasets/*/README.md", "benchmarks/README.md"),
]
exclude_patterns = ["docs/_*", "**/build", "**/.*", ".*"]

# -- Markdown
myst_enable_extensions = ["dollarmath", "amsmath", "deflist"]
myst_heading_anchors = 5  # as GitHub makes them
myst_links_external_new_tab = False
numfig = math_numfig = True  # equations have the numbers of their pages: (2.3)
math_eqref_format = "({number})"
html_math_renderer = "drawn"
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = False

# -- API
default_role = "name"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
# Types are texts with shapes and units ("float64 array of shape (n,)"), no expressions whose words are names.
napoleon_use_param = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style")]
python_use_unqualified_type_names = True

# -- Pages
html_theme = "furo"
html_title = f"eventsnn {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_root"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
