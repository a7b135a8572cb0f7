"""Turn links to files outside docs/ into plain text for the site, which has the pages only."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.structure.pages import Page

LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:|#)([^)#\s]+)(#[^)\s]+)?\)")
DOCS = Path(__file__).parent


def on_page_markdown(markdown: str, page: Page, **_options: Any) -> str:
    """Replace links to code with their text; mkdocs calls this for each page."""
    folder = (DOCS / page.file.src_path).parent

    def replace(match: re.Match[str]) -> str:
        target = (folder / match[2]).resolve()
        is_page = target.suffix in {".md", ".svg", ".png"} and target.is_relative_to(DOCS)
        return match[0] if is_page else match[1]

    return LINK.sub(replace, markdown)
