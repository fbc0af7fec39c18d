"""The letter in a learner's answer, read and never executed.

`q1 = "C"` is an answer, and so are `'c.'`, `"C. About 0.71"`, `"ABCD"[2]`, a letter of full width
and a Cyrillic one that looks the same. What only running the code could tell is no answer.
"""

import ast
import re
import textwrap
import unicodedata

LOOK_ALIKE = str.maketrans("АВСЕДАΑΒΕЅ", "ABCEDAABES") | str.maketrans("авсеαβ", "ABCEAB")
TOO_LONG = 10_000


class NotStatic(Exception):
    """The value can be known only by running the code."""


def read(sources: list[str], name: str, known: dict, letters: str) -> tuple[str | None, str]:
    """The letter that the sources of one answer give to `name`, and what is to be said of it.

    known: constants from other cells of the learner's, {"mine": "B"}. letters: such as "ABCD".
    Returns (None, "") if nothing was answered.
    """
    found, remark, anything = None, "", False
    for source in sources:
        tree = parse(source)
        if tree is None:
            anything = anything or bool(source.strip())
            remark = "is no Python"
            continue
        for value in _assigned(tree, name):
            try:
                value = constant(value, known)
            except NotStatic as reason:
                found, remark = None, f"is computed ({reason}), and answers are not run"
                continue
            if value is ... or value is None or value == "":
                continue
            found = letter(value, letters)
            remark = "" if found else f"is {str(value)[:40]!r}, none of {', '.join(letters)}"
        others = [node for node in tree.body if not isinstance(node, (ast.Assign, ast.AnnAssign))]
        anything = anything or bool(others)
    if found is None and not remark and anything:
        remark = f"is code that gives {name} no letter, and answers are not run"
    return found, remark


def letter(value: object, letters: str) -> str | None:
    """The letter of an answer's text: "C" for "c.", "(C)", "C. About 0.71" and look-alikes."""
    if not isinstance(value, str) or len(value) > TOO_LONG:
        return None
    text = unicodedata.normalize("NFKC", value)
    text = "".join(char for char in text if unicodedata.category(char) not in ("Cf", "Cc", "Mn"))
    text = text.translate(LOOK_ALIKE).strip().strip("\"'`*_").strip()
    match = re.fullmatch(
        r"[\s(\[{<]*([A-Za-z])(?:[\s)\]}>.:,;-]*|\s*[)\]}>.:,;-]+\s*\S.*|\s*\([A-Za-z]\))",
        text,
        re.DOTALL,
    )
    found = match and match[1].upper()
    return found if found in list(letters) else None


def constants(sources: list[str], known: dict) -> dict:
    """The names to which cells assign constants, added to those already known."""
    known = dict(known)
    for source in sources:
        tree = parse(source)
        for node in tree.body if tree else []:
            if isinstance(node, ast.Assign) and len(node.targets) == 1:
                target = node.targets[0]
                if isinstance(target, ast.Name):
                    try:
                        known[target.id] = constant(node.value, known)
                    except NotStatic:
                        known.pop(target.id, None)
    return known


def parse(source: str) -> ast.Module | None:
    """The tree of a cell, without its lines for IPython; None if it is no Python."""
    source = re.sub(r"^\s*```.*$", "", source, flags=re.MULTILINE)
    source = re.sub(r"^\s*[%!].*$", "", source, flags=re.MULTILINE)
    source = re.sub(r"^\s*(?:>>> |\.\.\. |In ?\[\d*\]: ?)", "", source, flags=re.MULTILINE)
    source = textwrap.dedent(unicodedata.normalize("NFKC", source))
    source = re.sub("[“”„‟＂]", '"', re.sub("[‘’‚＇]", "'", source))
    try:
        return ast.parse(source[:TOO_LONG])
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def constant(node: ast.expr, known: dict, depth: int = 0) -> object:
    """The value of an expression of constants. Raises NotStatic for any other."""
    if depth > 20:
        raise NotStatic("it is nested too deeply")
    deeper = depth + 1
    match node:
        case ast.Constant(value):
            return value
        case ast.Name(id) if id in known:
            return known[id]
        case ast.Tuple(items) | ast.List(items):
            return [constant(item, known, deeper) for item in items]
        case ast.Dict(keys, values) if all(keys):
            pairs = zip(keys, values, strict=True)
            return {_hashable(constant(k, known, deeper)): constant(v, known, deeper)
                    for k, v in pairs}  # fmt: skip
        case ast.UnaryOp(ast.USub(), operand):
            value = constant(operand, known, deeper)
            if isinstance(value, int):
                return -value
        case ast.BinOp(left, ast.Add(), right):
            left, right = constant(left, known, deeper), constant(right, known, deeper)
            if isinstance(left, str) and isinstance(right, str) and len(left + right) < TOO_LONG:
                return left + right
        case ast.Subscript(value, place):
            value, place = constant(value, known, deeper), constant(place, known, deeper)
            try:
                return value[place]
            except Exception:
                raise NotStatic("there is nothing at this place") from None
        case ast.Call(ast.Attribute(value, "strip" | "upper" | "lower" as method), [], []):
            value = constant(value, known, deeper)
            if isinstance(value, str):
                return getattr(value, method)()
        case ast.Call(ast.Name("str"), [value], []) if "str" not in known:
            return str(constant(value, known, deeper))[:TOO_LONG]
        case ast.JoinedStr([ast.Constant(value)]):
            return value
    raise NotStatic(ast.unparse(node)[:40] if depth == 0 else "it calls or names something")


def _hashable(value):
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _assigned(tree, name):
    """The expressions that are assigned to a name, in order."""
    nodes = [node for node in ast.walk(tree) if hasattr(node, "lineno")]
    for node in sorted(nodes, key=lambda node: (node.lineno, node.col_offset)):
        targets = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets = [node.target]
        elif isinstance(node, ast.NamedExpr):
            targets = [node.target]
        for target in targets:
            if isinstance(target, ast.Name) and target.id == name:
                yield node.value
            elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                for part, value in zip(target.elts, node.value.elts, strict=False):
                    if isinstance(part, ast.Name) and part.id == name:
                        yield value
