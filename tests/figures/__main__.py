"""Write the quoted figures into the pages, or check them: `python -m tests.figures [--check]`."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import click

from tests.figures.certificate import ROOT
from tests.figures.pages import filled_page
from tests.figures.quotes import QuoteError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@click.command()
@click.option("--check", "only_checks", is_flag=True, help="Change nothing; fail if a page differs.")
def main(*, only_checks: bool) -> None:
    """Write the quoted figures from their files into the pages, or only check the pages."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    try:
        stale = [page for page in pages if _bring_up_to_date(page, only_checks=only_checks)]
    except QuoteError as error:
        raise click.ClickException(str(error)) from error
    if stale and only_checks:
        raise click.ClickException("some pages do not show the figures on file: run make figures")


def _bring_up_to_date(page: Path, *, only_checks: bool) -> bool:
    """Write a page's figures, or show how they differ from their files; return whether they differed."""
    text = page.read_text(encoding="utf-8")
    name = str(page.relative_to(ROOT))
    try:
        filled = filled_page(text, ROOT)
    except QuoteError as error:
        raise QuoteError(f"{name}: {error}") from error
    if filled == text:
        return False
    if only_checks:
        click.echo("\n".join(_difference(name, text, filled)))
    else:
        page.write_text(filled, encoding="utf-8")
        click.echo(f"{name}: written")
    return True


def _difference(name: str, text: str, filled: str) -> Iterable[str]:
    lines = (text.splitlines(), filled.splitlines())
    return difflib.unified_diff(*lines, f"{name}, as it is", f"{name}, as it must be", lineterm="", n=0)


if __name__ == "__main__":
    main()
