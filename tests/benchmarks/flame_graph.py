"""Draw sampled stacks as a flame graph: an SVG whose boxes are as wide as their share of the samples.

Source: Brendan Gregg, "The Flame Graph", Communications of the ACM 59/6.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WIDTH: Final = 1200
ROW: Final = 18
MARGIN: Final = 34
LEAST_SHARE: Final = 0.002
"""Narrower boxes cannot be seen."""

LETTER: Final = 6.6
"""Width of a letter of the font, in pixels."""

COLOURS: Final = {
    "webhook_api/": "#5eead4",
    "workers/": "#5eead4",
    "dialects/": "#5eead4",
    "handlers/": "#5eead4",
    "messaging/": "#99f6e4",
    "pika/": "#fcd34d",
}
ELSEWHERE: Final = "#e2e8f0"


@dataclass(slots=True)
class Box:
    """A function in one context, with its samples and those of everything it called."""

    samples: int = 0
    callees: dict[str, Box] = field(default_factory=dict)

    @property
    def depth(self) -> int:
        """How many boxes stand on each other, at most."""
        return 1 + max((box.depth for box in self.callees.values()), default=0)


def draw_flame_graph(title: str, stacks: Mapping[tuple[str, ...], int]) -> str:
    """Return the SVG.

    Args:
        title: For people.
        stacks: Frames from the outermost in, and samples.
    """
    root = _tree(stacks)
    height = MARGIN + ROW * root.depth
    boxes = "".join(_boxes("all", root, root.samples, 0.0, height - ROW))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-size="11"'
        f' font-family="monospace"><rect width="100%" height="100%" fill="white"/>'
        f'<text x="6" y="20" font-size="14" font-family="sans-serif">{escape(title)}</text>{boxes}</svg>\n'
    )


def _tree(stacks: Mapping[tuple[str, ...], int]) -> Box:
    root = Box()
    for frames, samples in stacks.items():
        box = root
        box.samples += samples
        for frame in frames:
            box = box.callees.setdefault(frame, Box())
            box.samples += samples
    return root


def _boxes(name: str, box: Box, total: int, left: float, top: float) -> Iterator[str]:
    share = box.samples / total
    if share < LEAST_SHARE:
        return
    width = share * WIDTH
    label = name[: int((width - 6) / LETTER)] if width > 4 * LETTER else ""
    colour = next((colour for place, colour in COLOURS.items() if f"({place}" in name), ELSEWHERE)
    x, shown = f"{left:.1f}", f"{max(width - 0.5, 0.5):.1f}"
    yield (
        f"<g><title>{escape(name)}: {share:.1%}</title>"
        f'<rect x="{x}" y="{top}" width="{shown}" height="{ROW - 1}" fill="{colour}"/>'
        f'<text x="{left + 3:.1f}" y="{top + 13}">{escape(label)}</text></g>'
    )
    for callee, inner in sorted(box.callees.items()):
        yield from _boxes(callee, inner, total, left, top - ROW)
        left += inner.samples / total * WIDTH
