"""The class report: one HTML file that is read offline, and a table of all points.

It says how the class did, which options were chosen, what to teach next, which checks failed,
and whom a person should look at.
"""

import csv
import html
import re
from pathlib import Path

from classroom import collect, numbers
from classroom.gradebook import settings
from classroom.record import Record
from classroom.releases import versions
from classroom.states import FAULT
from imagegen.quiz import LETTERS

GOOD, BAD, SOFT = "#2f7d6d", "#d9774a", "#c9d3d0"
STYLE = Path(__file__).with_name("report.css")


def write(root: Path, assignments: list[str], out: Path, roster: Path | None = None) -> list[Path]:
    """Write OUT/ASSIGNMENT.html and .csv for each assignment, and the paths that were written.

    Raises ValueError if an assignment was never graded.
    """
    out.mkdir(parents=True, exist_ok=True)
    people = collect.roster(roster) if roster else {}
    results, releases, by_hand, paths = {}, {}, {}, []
    for assignment in assignments:
        releases[assignment] = versions(root, assignment)
        if not releases[assignment]:
            raise ValueError(f"{assignment} was never released: `python -m classroom release`.")
        course = settings(root)
        record = Record(root, releases[assignment], course.db_url, course.course_id)
        try:
            results[assignment] = record.results()
            by_hand[assignment] = record.given_by_hand()
        finally:
            record.close()
        if not results[assignment]:
            raise ValueError(f"{assignment} was never graded: `python -m classroom grade` first.")
    back = numbers.came_back(results, releases) if len(assignments) > 1 else []
    for assignment in assignments:
        page = _page(root, assignment, results[assignment], releases[assignment], back, people)
        path = out / f"{assignment}.html"
        path.write_text(page, encoding="utf-8")
        table = out / f"{assignment}.csv"
        _table(table, results[assignment], by_hand[assignment], people, releases[assignment][0])
        paths += [path, table]
    return paths


# -- the table ---------------------------------------------------------------------------------


def _table(path, results, by_hand, people, release):
    """One row for everybody: a missing submission is not a zero, and a pending mark is not one."""
    kinds = list(release.notebooks)
    head = ["learner", "name", "state", "points", "out of", "pending", "late", "handed in"]
    head += [f"{kind} {what}" for kind in kinds for what in ("points", "status", "reason")]
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow([*head, "flags"])
        for learner in sorted({*results, *people}):
            result = results.get(learner)
            writer.writerow(_row(learner, people.get(learner, ""), result, by_hand, kinds))


def _row(learner, name, result, by_hand, kinds):
    learner, name = _no_formula(learner), _no_formula(name)
    if not result or not numbers.handed_in({learner: result}):
        return [learner, name, "missing", "", "", "", "", "", *[""] * (3 * len(kinds)), ""]
    parts, marks = result["notebooks"], by_hand.get(result["learner"], {})
    scores = {(k, n): s for k, part in parts.items() for n, s in part["scores"].items()}
    pending = sum(s[1] for place, s in scores.items() if s[2] and place not in marks)
    points = sum(marks.get(place, s[0]) for place, s in scores.items())
    faults = any(part["status"] == FAULT for part in parts.values())
    state = "not graded" if faults else "pending" if pending else "graded"
    row = [learner, name, state, "" if faults else points, sum(s[1] for s in scores.values())]
    row += [pending, "late" if result["late"] else "", result["handed_in"] or ""]
    for kind in kinds:
        part = parts.get(kind)
        mine = [marks.get(place, s[0]) for place, s in scores.items() if place[0] == kind]
        row += [sum(mine), part["status"], part["reason"]] if part else ["", "", ""]
    return [*row, _no_formula("; ".join(result["flags"]))]


def _no_formula(text):
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") else text


# -- the page ----------------------------------------------------------------------------------


def _page(root, assignment, results, releases, back, people):
    title = _title(root, assignment)
    totals = numbers.totals(results)
    items = numbers.items(results, releases)
    beliefs = numbers.beliefs(results, releases)
    checks = numbers.checks(results, releases)
    odd = numbers.for_a_person(results)
    missing = sorted((results.keys() | people.keys()) - numbers.handed_in(results).keys())
    late = [name for name, result in results.items() if result.get("late")]
    parts = [
        f"<header><p class=over>Class report</p><h1>{_e(title)}</h1>"
        f"{_cards(totals, odd, missing, late)}</header>",
        _section("How the class did", _distribution(totals, results)),
        _section("Teach this on Monday", _monday(root, assignment, beliefs, releases[0], results)),
        _section("The questions", _items(items, releases[0])),
        _section("The exercise", _checks(checks)),
        _section("For a person", _people(odd, missing)),
    ]
    if back:
        parts.append(_section("Beliefs that came back", _back(back)))
    body = "\n".join(part for part in parts if part)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_e(title)}: class report</title><style>{STYLE.read_text('utf-8')}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def _title(root, assignment):
    path = root / "solutions" / "items" / f"{assignment}.yaml"
    match = path.is_file() and re.search(r"^title: (.*)$", path.read_text("utf-8"), re.M)
    return (
        f"{int(assignment[:2])}. {match[1]}" if match and assignment[:2].isdigit() else assignment
    )


def _cards(totals, odd, missing, late):
    shares = sorted(points / worth for points, worth in totals.values() if worth)
    middle = f"{shares[len(shares) // 2]:.0%}" if shares else "-"
    cards = [(len(totals), "handed in"), (middle, "of the points, in the middle of the class")]
    cards += [(len(odd), "need a person"), (len(late), "late"), (len(missing), "missing")]
    inner = "".join(
        f"<div class=card><b>{_e(str(n))}</b><span>{_e(w)}</span></div>" for n, w in cards
    )
    return f"<div class=cards>{inner}</div>"


def _distribution(totals, results):
    """A histogram of the share of points, in ten steps, and one for each notebook."""
    if not totals:
        return "<p>Nobody has handed in.</p>"
    whole = [points / worth for points, worth in totals.values() if worth]
    charts = [_histogram(whole, "quiz and exercise together")]
    kinds = sorted({kind for r in results.values() for kind in r["notebooks"]}, reverse=True)
    for kind in kinds:
        shares = []
        for result in results.values():
            part = result["notebooks"].get(kind)
            if part and part["status"] != "not found":
                scores = [s for s in part["scores"].values() if not s[2]]
                if sum(s[1] for s in scores):
                    shares.append(sum(s[0] for s in scores) / sum(s[1] for s in scores))
        charts.append(_histogram(shares, f"the {kind} alone"))
    note = "<p class=note>Learners by their share of the points that need no person.</p>"
    return f"{note}<div class=charts>{''.join(charts)}</div>"


def _histogram(shares, caption):
    counts = [0] * 10
    for share in shares:
        counts[min(int(share * 10 + 1e-9), 9)] += 1
    top, width, height = max(counts) or 1, 300, 110
    bars = []
    for place, count in enumerate(counts):
        x, size = 8 + place * 29, height * count / top
        bars.append(
            f'<rect x="{x}" y="{24 + height - size:.1f}" width="25" height="{max(size, 1):.1f}" '
            f'rx="3" fill="{GOOD if count else SOFT}"/>'
        )
        if count:
            bars.append(f'<text x="{x + 12.5}" y="{18 + height - size:.1f}" class=n>{count}</text>')
    for share, x in ((0, 14), (50, 152), (100, 280)):
        bars.append(f'<text x="{x}" y="152" class=n>{share} %</text>')
    label = f"{caption}: " + ", ".join(f"{c} at {p * 10} %" for p, c in enumerate(counts) if c)
    return (
        f'<figure><svg viewBox="-6 0 {width + 18} 158" role="img" aria-label="{_e(label)}">'
        f"{''.join(bars)}</svg><figcaption>{_e(caption)}</figcaption></figure>"
    )


def _monday(root, assignment, beliefs, release, results):
    """The beliefs of the class, the most frequent first, each with the cell that refutes it."""
    if not beliefs:
        return "<p>No wrong option was chosen.</p>"
    count, parts = max(1, len(numbers.handed_in(results))), []
    for place, belief in enumerate(beliefs):
        share = len(belief.learners) / count
        options = []
        for (question, letter), chosen in belief.options.most_common():
            item = release.questions.get(question)
            if item:
                option = item["options"][LETTERS.index(letter)]
                options.append((question, letter, chosen, option))
        said = "".join(
            f"<li><b>{q} {_e(letter)}</b> {_md(str(o['text']))} <span class=n>{chosen}</span></li>"
            for q, letter, chosen, o in options
        )
        inner = f"<ul class=options>{said}</ul>"
        if place < 5 and options:
            words = " ".join([belief.text, *(str(o["text"]) for *_, o in options)])
            chapter = _chapter(
                root, release.beliefs.get(belief.id, {}).get("chapter", assignment[:2])
            )
            found = numbers.box(root, chapter or assignment, words)
            if found:
                number, text = found
                inner += (
                    f"<p class=where>chapters/{_e(chapter or assignment)}.ipynb, cell {number}, "
                    f"and the cell below it</p><blockquote>{_paragraphs(text)}</blockquote>"
                )
            cell = next((o["try"] for *_, o in options if o.get("try")), None)
            if cell:
                inner += f"<p class=where>a cell that shows it</p><pre>{_e(cell.strip())}</pre>"
        summary = (
            f"<summary><span class=share>{_bar(share)}</span><b>{_e(belief.text)}</b>"
            f"<span class=n>{len(belief.learners)} of {count} learners</span></summary>"
        )
        parts.append(f"<details{' open' if place < 2 else ''}>{summary}{inner}</details>")
    return "".join(parts)


def _items(items, release):
    parts = []
    for item in items:
        answered = sum(n for letter, n in item.chosen.items() if letter)
        total = sum(item.chosen.values()) or 1
        rows = []
        for letter, option in zip(LETTERS, item.options, strict=False):
            chosen = item.chosen.get(letter, 0)
            right = letter == item.key
            belief = release.beliefs.get(option.get("misconception"), {}).get("belief", "")
            rows.append(
                f"<tr class={'right' if right else 'wrong'}><th>{letter}</th>"
                f"<td class=bar>{_bar(chosen / total, GOOD if right else BAD)}</td>"
                f"<td class=n>{chosen}</td><td>{_md(str(option['text']))}"
                f"<span class=belief>{_e(belief)}</span></td></tr>"
            )
        if total - answered and item.chosen:
            left = total - answered
            rows.append(
                f"<tr><th>-</th><td class=bar>{_bar(left / total, SOFT)}</td>"
                f"<td class=n>{left}</td>"
                "<td>no letter</td></tr>"
            )
        easy = "-" if item.difficulty is None else f"{item.difficulty:.0%} right"
        sharp = item.discrimination
        parting = "says nothing about the rest" if sharp is None else f"discrimination {sharp:+.2f}"
        warn = " class=warn" if sharp is not None and sharp < 0.1 else ""
        parts.append(
            f"<article><h3>{item.name}. {_md(item.stem)}</h3>"
            f"<p class=facts><span>{easy}</span><span{warn}>{parting}</span></p>"
            f"<table>{''.join(rows)}</table></article>"
        )
    note = (
        "<p class=note>Discrimination is the correlation of a right answer with the points for all "
        "other questions: below 0.1 the question deserves a look.</p>"
    )
    return note + "".join(parts) if parts else ""


def _checks(checks):
    if not checks:
        return ""
    parts, test = [], None
    for check in checks:
        if check.test != test:
            if test:
                parts.append("</table>")
            test = check.test
            parts.append(f"<h3>{_e(test.replace('_', ' '))}</h3><table>")
        total = check.passed + check.failed
        said = "".join(
            f"<li>{_md(text)} <span class=n>{n}</span></li>"
            for text, n in check.messages.most_common(4)
        )
        parts.append(
            f"<tr><td class=bar>{_bar(check.failed / total, BAD)}</td>"
            f"<td class=n>{check.failed} of {total}</td>"
            f"<td>{_e(check.title)}{f'<ul>{said}</ul>' if said else ''}</td></tr>"
        )
    note = "<p class=note>How many failed each check, and what they were told.</p>"
    return note + "".join(parts) + "</table>"


def _people(odd, missing):
    rows = "".join(
        f"<tr><th>{_e(name)}</th><td>{'<br>'.join(map(_e, _grouped(reasons)))}</td></tr>"
        for name, reasons in odd
    )
    out = f"<table class=people>{rows}</table>" if rows else "<p>Nobody.</p>"
    if missing:
        out += f"<p><b>Nothing was handed in by</b> {_e(', '.join(missing))}.</p>"
    return out


def _grouped(reasons):
    """The first of each kind of reason, and how many are like it but for names and numbers."""
    kinds = {}
    for reason in reasons:
        kinds.setdefault(re.sub(r"\(.*\)|\b\w*[_\d]\w*\b", "", reason), []).append(reason)
    return [
        f"{first} (and {len(more)} more like it)" if more else first
        for first, *more in kinds.values()
    ]


def _back(back):
    rows = []
    for belief, who in back:
        names = ", ".join(
            f"{name} ({', '.join(p[:2] for p in places)})" for name, places in who[:12]
        )
        more = f" and {len(who) - 12} more" if len(who) > 12 else ""
        rows.append(f"<tr><td class=n>{len(who)}</td><td><b>{_e(belief.text)}</b><br>"
                    f"<span class=belief>{_e(names + more)}</span></td></tr>")  # fmt: skip
    note = "<p class=note>Chosen by the same learner in more than one chapter.</p>"
    return f"{note}<table>{''.join(rows)}</table>"


def _chapter(root, number):
    found = sorted((root / "chapters").glob(f"{number}_*.ipynb"))
    return found[0].stem if found else None


def _section(title, inner):
    return f"<section><h2>{_e(title)}</h2>{inner}</section>" if inner else ""


def _bar(share, colour=BAD):
    return (
        f'<svg viewBox="0 0 100 10" preserveAspectRatio="none" class=b aria-hidden="true">'
        f'<rect width="100" height="10" rx="2" fill="#edf1ef"/>'
        f'<rect width="{100 * share:.1f}" height="10" rx="2" fill="{colour}"/></svg>'
    )


def _e(text):
    return html.escape(str(text))


def _md(text):
    text = re.sub(r"`(.+?)`", r"<code>\1</code>", html.escape(text, quote=False), flags=re.DOTALL)
    return re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", text)


def _paragraphs(text):
    return "".join(f"<p>{_md(p)}</p>" for p in text.split("\n\n") if not p.startswith("#"))
