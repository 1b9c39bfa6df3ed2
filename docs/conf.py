"""Sphinx configuration."""

project = "pytest-dockerbin"
author = "The pytest-dockerbin developers"
project_copyright = author

extensions = ["myst_parser"]
exclude_patterns = ["_build"]
root_doc = "index"

# No intersphinx: the build needs no network, and `-n` tells of every reference that leads nowhere.
nitpicky = True

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "pytest-dockerbin"
