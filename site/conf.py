"""Sphinx's settings. `make site` runs it on the pages that pages.py has written."""

from imagegen import REPOSITORY, REVISION, __version__

project = "Image Generation with Diffusion Models"
author = "The authors of the course"
copyright = "the authors, CC BY 4.0"
version = release = __version__
language = "en"

extensions = ["myst_nb", "sphinx_copybutton"]
nb_execution_mode = "off"  # a page shows what its notebook stores
nb_ipywidgets_js = {}
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type"]
copybutton_exclude = ".linenos, .gp"

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["build/source/static"]  # as pages.py and build.py fill it
html_css_files = ["site.css"]
html_js_files = [("site.js", {"type": "module"})]
html_favicon = "static/icon.svg"
html_show_sourcelink = False
html_copy_source = False
mathjax_path = "mathjax/tex-mml-chtml.js"  # ours, not a content network's
html_sidebars = {"index": []}  # the first page has its own map
html_theme_options = {
    "navbar_persistent": [],
    "repository_url": REPOSITORY,
    "repository_branch": REVISION,
    "path_to_docs": "",
    "use_repository_button": True,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "home_page_in_toc": False,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "logo": {"text": project},
    "show_prev_next": True,
}
