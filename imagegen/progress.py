"""A bar with a stop button in a notebook, a line in a terminal, nothing where nobody watches.

Built in chapter 9. In JupyterLab the button works while the cell runs; elsewhere interrupt the
kernel. When the work ends, the bar gives way to one line of text.
"""

from __future__ import annotations

from tqdm import tqdm


class Progress:
    """Counts pictures: with Progress(total, done) as bar: bar.check(); bar.add()."""

    def __init__(self, total: int, done: int = 0) -> None:
        self.total, self.done, self.stopped = total, done, False

    def __enter__(self) -> Progress:
        self.line = self.handle = None
        if not _in_notebook():
            self.line = tqdm(total=self.total, initial=self.done, disable=None, unit="picture")
            return self
        import ipywidgets as widgets
        from IPython.display import display

        self.bar = widgets.IntProgress(self.done, 0, self.total)
        self.text = widgets.Label()
        button = widgets.Button(description="Stop", tooltip="Stop; what is drawn stays")
        button.on_click(self.stop)
        self.box = widgets.HBox([self.bar, self.text, button])
        self.handle = display(self.box, display_id=True)
        self.add(0)
        return self

    def __exit__(self, *error) -> None:
        if self.line is not None:
            self.line.close()
        if self.handle is not None:
            words = f"{self.done} of {self.total} pictures"
            self.handle.update({"text/plain": words}, raw=True)
            self.box.close()

    def add(self, count: int = 1) -> None:
        """Count further pictures."""
        self.done += count
        if self.line is not None:
            self.line.update(count)
        if self.handle is not None:
            self.bar.value, self.text.value = self.done, f"{self.done} of {self.total}"

    def stop(self, *_) -> None:
        """Ask for the end; the next check() raises KeyboardInterrupt."""
        self.stopped = True

    def check(self) -> None:
        """Raise KeyboardInterrupt once the stop button was pressed."""
        if self.stopped:
            raise KeyboardInterrupt


def _in_notebook() -> bool:
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return hasattr(get_ipython(), "kernel")
