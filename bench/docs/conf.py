"""Sphinx's settings. One command builds the site: `sphinx-build -W -b html bench/docs .docs/html`, without a network."""

from importlib.util import find_spec

from sphinx.errors import ConfigError

from bench import __version__
from bench.docs import pages

if lacking := [name for name in ("furo", "ipykernel", "myst_nb") if find_spec(name) is None]:
    raise ConfigError(f"these pages need {', '.join(lacking)}: pip install -e '.[docs]'")

project, author, copyright = "multitask-bench", "the multitask-bench authors", "the multitask-bench authors"
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.githubpages"]
highlight_language = "none"

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4
nb_execution_mode = "force"  # the notebook is run anew, in a folder of its own that is removed afterwards
nb_execution_in_temp = True
nb_execution_raise_on_error = nb_execution_show_tb = True
nb_execution_timeout = 300

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
maximum_signature_line_length = 88

html_theme = "furo"
html_title = f"multitask-bench {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}

setup = pages.setup
