"""Draw the pages' mermaid diagrams as files, so that the site loads nothing from elsewhere: `make diagrams`.

Needs npm, which fetches mermaid, and Debian's chromium.
"""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import sync_playwright
from site_links import DIAGRAM, DOCS, drawing_name

MERMAID = "mermaid@11.17.2"
# A drawing is shown as an image, in which HTML labels do not work everywhere.
OPTIONS = {
    "startOnLoad": False,
    "htmlLabels": False,
    "flowchart": {"htmlLabels": False},
    "deterministicIds": True,
    "fontFamily": "sans-serif",
}


def main() -> None:
    """Draw what has no drawing yet, and remove drawings that no page shows."""
    drawings = DOCS / "diagrams"
    drawings.mkdir(exist_ok=True)
    found = [source for page in sorted(DOCS.glob("*.md")) for source in DIAGRAM.findall(page.read_text())]
    sources = {drawings / drawing_name(source): source for source in found}
    for path in set(drawings.iterdir()) - set(sources):
        path.unlink()
    missing = {path: source for path, source in sources.items() if not path.exists()}
    if missing:
        draw(missing)
    print(f"{len(sources)} diagrams, {len(missing)} of them drawn now")  # noqa: T201


def draw(sources: dict[Path, str]) -> None:
    """Write the drawing of each source to its path."""
    with TemporaryDirectory() as directory, sync_playwright() as playwright:
        subprocess.run(["npm", "pack", "--silent", MERMAID], cwd=directory, check=True)
        [archive] = Path(directory).glob("*.tgz")
        with tarfile.open(archive) as files:
            files.extract("package/dist/mermaid.min.js", directory, filter="data")
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page()
        page.add_script_tag(path=Path(directory, "package/dist/mermaid.min.js"))
        page.evaluate("options => mermaid.initialize(options)", OPTIONS)
        for path, source in sources.items():
            drawing = page.evaluate("async source => (await mermaid.render('diagram', source)).svg", source)
            path.write_text(drawing)
        browser.close()


if __name__ == "__main__":
    main()
