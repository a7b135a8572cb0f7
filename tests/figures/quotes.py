"""Write figures between the markers of a page.

    <!-- figure: {performance.targets.growth.value:.2f} -->1.00<!-- /figure -->
    <!-- line: {performance.line} -->           ... a block of code with one line ...    <!-- /line -->
    <!-- table: performance.targets | what = {title} | must = {must:g} -->  ...          <!-- /table -->
    <!-- measured: performance -->measured at `a51b137` ...<!-- /measured -->

Templates use the syntax of `str.format`: the first word names a file of figures, and the rest is a path
within that file. A table has a row for each value below its path; the paths in its cells start at that value.
No line of a page may begin with a `figure` or `measured` marker: Markdown would treat the line as HTML.
"""

from __future__ import annotations

import json
import re
import string
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

MARKER: Final = re.compile(r"<!-- (figure|line|table|measured): (.*?) -->(.*?)<!-- /\1 -->", re.DOTALL)
INLINE_AT_START: Final = re.compile(r"^<!-- (?:figure|measured): .*$", re.MULTILINE)
NOTHING: Final = "\N{EN DASH}"
"""The text that replaces a figure that was not measured."""


class QuoteError(ValueError):
    """A page quotes a figure that does not exist. Correct the quoted marker, or measure again."""


class Unmeasured(SimpleNamespace):
    """Replaces a file whose figures have not been measured yet, so that each figure is shown as a dash."""

    def __getattr__(self, _: str) -> Unmeasured:
        return self

    def __format__(self, _: str) -> str:
        return NOTHING


class _Formatter(string.Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        return NOTHING if value is None else str(super().format_field(value, format_spec))


def as_source(text: str) -> SimpleNamespace:
    """Return a JSON document as nested namespaces for templates."""
    source: SimpleNamespace = json.loads(text, object_hook=lambda pairs: SimpleNamespace(**pairs))
    return source


def fill(page: str, sources: Mapping[str, SimpleNamespace], measured: Mapping[str, str]) -> str:
    """Return a page with the text between its markers replaced.

    Args:
        page: The page's Markdown.
        sources: The files of figures, by name.
        measured: The text for each file's `measured` marker.

    Raises:
        QuoteError: A marker names a missing figure, or the page has no `measured` marker for a file.
    """

    def replace(match: re.Match[str]) -> str:
        kind, template, _ = match.groups()
        text = _render(kind, template, sources, measured)
        return f"<!-- {kind}: {template} -->{text}<!-- /{kind} -->"

    if misplaced := INLINE_AT_START.search(page):
        raise QuoteError(f"a line begins with a marker: {misplaced.group()}")
    filled = MARKER.sub(replace, page)
    if undated := sources_of(page) - _dated(page):
        raise QuoteError(f"it quotes {', '.join(sorted(undated))} without a `measured` marker")
    return filled


def sources_of(page: str) -> set[str]:
    """Return the names of the files that a page quotes."""
    roots = re.compile(r"[A-Za-z_]+")
    found = (roots.search(template) for kind, template, _ in MARKER.findall(page) if kind != "measured")
    return {root.group() for root in found if root}


def _dated(page: str) -> set[str]:
    return {template for kind, template, _ in MARKER.findall(page) if kind == "measured"}


def _render(
    kind: str, template: str, sources: Mapping[str, SimpleNamespace], measured: Mapping[str, str]
) -> str:
    try:
        if kind == "measured":
            return measured[template]
        if kind == "table":
            return f"\n{_table(template, sources)}\n"
        text = _Formatter().vformat(template, (), sources)
    except (AttributeError, KeyError, ValueError, TypeError) as error:
        raise QuoteError(f"nothing to write at <!-- {kind}: {template} -->: {error}") from error
    return f"\n```\n{text}\n```\n" if kind == "line" else text


def _table(template: str, sources: Mapping[str, SimpleNamespace]) -> str:
    path, *columns = template.split(" | ")
    pairs = [column.partition("=")[::2] for column in columns]
    titles, cells = ([text.strip() for text in texts] for texts in zip(*pairs, strict=True))
    rows, _ = _Formatter().get_field(path, (), sources)
    entries = [vars(row) for row in (rows if isinstance(rows, list) else vars(rows).values())]
    # A value that only some rows have becomes a dash in the others. A value that no row has is an error.
    known = dict.fromkeys(name for entry in entries for name in entry)
    lines = [titles, ["---"] * len(titles)]
    lines += [[_Formatter().vformat(cell, (), known | entry) for cell in cells] for entry in entries]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
