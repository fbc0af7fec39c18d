"""A picture to paint on: where it is painted, the model draws anew. Chapter 12.

The only widget of the studio that ipywidgets has not: a canvas, by anywidget, which JupyterLab,
Colab and Voila show alike.
"""

import base64
import io
from pathlib import Path

import anywidget
import traitlets
from PIL import Image


class Brush(anywidget.AnyWidget):
    """A picture under a brush. mask: what was painted, as a data URL; empty where nothing was."""

    _esm = Path(__file__).with_name("brush.js")
    picture = traitlets.Unicode("").tag(sync=True)
    mask = traitlets.Unicode("").tag(sync=True)
    size = traitlets.Int(24).tag(sync=True)  # of the brush, in pixels of the page
    description = traitlets.Unicode("Paint where something new is to be drawn.").tag(sync=True)

    def show(self, png: bytes) -> None:
        """Put a picture under the brush, and forget what was painted."""
        self.mask = ""
        self.picture = f"data:image/png;base64,{base64.b64encode(png).decode()}"

    def painted(self, size: tuple[int, int]) -> Image.Image | None:
        """The mask in a picture's size, white where it was painted; None where nothing was."""
        if not self.mask:
            return None
        data = base64.b64decode(self.mask.partition(",")[2])
        white = Image.open(io.BytesIO(data)).convert("RGBA").getchannel("A")
        white = white.resize(size, Image.Resampling.BILINEAR).point(lambda a: 255 * (a >= 128))
        return white if white.getbbox() else None
