"""What the studio's widgets are made of: boxes that style.css knows by name."""

import ipywidgets as widgets


def part(names: str, *inside: widgets.Widget) -> widgets.Box:
    """A box that style.css knows by its names."""
    box = widgets.Box(inside)
    for name in names.split():
        box.add_class(f"studio-{name}")
    return box


def heading(text: str) -> widgets.HTML:
    return widgets.HTML(f"<h2>{text}</h2>")


def show(widget: widgets.Widget, visible: object) -> None:
    """Show a widget, or take it away without losing it."""
    widget.layout.display = None if visible else "none"
