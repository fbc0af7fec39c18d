"""nbval runs the solutions; each graded cell must also earn all its points."""

import pytest
from nbval.plugin import IPyNbCell


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Compare the number below a graded cell with what the cell is worth."""
    result = yield
    about = (
        item.cell.metadata.get("nbgrader", {})
        if isinstance(item, IPyNbCell)
        else {}
    )
    if about.get("grade"):
        shown = [
            out.data["text/plain"] for out in item.test_outputs if "data" in out
        ]
        said = "".join(out.text for out in item.test_outputs if "text" in out)
        assert shown and float(shown[-1]) == about.points, (
            f"{about.grade_id}: {shown} {said}"
        )
    return result
