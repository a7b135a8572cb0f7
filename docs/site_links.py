"""Adapt the pages to the site: the version, plain text for links outside docs/, drawings for diagrams."""

from __future__ import annotations

import re
from configparser import ConfigParser
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:|#)([^)#\s]+)(#[^)\s]+)?\)")
DIAGRAM = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DOCS = Path(__file__).parent
SETTINGS = DOCS.parent / "deploy" / "environment.example"
"""The list of all settings. It is outside docs/, but the site has it as a page."""


def on_config(config: MkDocsConfig, **_options: Any) -> None:
    """Show the product's version in the footer of every page; mkdocs calls this once."""
    package = ConfigParser()
    package.read(DOCS.parent / "setup.cfg", encoding="utf-8")
    config.copyright = f"{config.site_name} {package['metadata']['version']}"


def on_files(files: Files, config: MkDocsConfig, **_options: Any) -> Files:
    """Add the list of settings as a page; mkdocs calls this once."""
    from mkdocs.structure.files import File  # noqa: PLC0415  # installed only to build the site

    content = f"# Settings\n\n```sh\n{SETTINGS.read_text(encoding='utf-8')}```\n"
    files.append(File.generated(config, "settings.md", content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_options: Any) -> str:
    """Replace links to code by their text, and diagrams by their drawings; mkdocs calls this for each page.

    A diagram without a drawing is a broken link, which the strict build refuses: `make diagrams` draws it.
    """
    folder = (DOCS / page.file.src_path).parent

    def replace(match: re.Match[str]) -> str:
        target = (folder / match[2]).resolve()
        if target == SETTINGS:
            return f"[{match[1]}]({'../' * (len(folder.relative_to(DOCS).parts))}settings.md)"
        is_page = target.suffix in {".md", ".svg", ".png"} and target.is_relative_to(DOCS)
        return match[0] if is_page else match[1]

    return DIAGRAM.sub(
        lambda match: f"![Diagram](diagrams/{drawing_name(match[1])})", LINK.sub(replace, markdown)
    )


def drawing_name(source: str) -> str:
    """Return the file name of the drawing of this mermaid source."""
    return f"{sha256(source.encode()).hexdigest()[:12]}.svg"
