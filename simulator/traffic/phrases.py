"""Hold what simulated people say: short, in several scripts, with what breaks careless encoders."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

PHRASES = (
    "Hello, is anybody there?",
    "My parcel has not arrived.",
    "Hi 👋",
    "Grüße aus Köln, ich hätte gern eine Auskunft.",
    "注文の状況を教えてください。",
    'She said "tomorrow",\nand a \\ besides.',
    "السلام عليكم",
    "👩‍👩‍👧‍👦 family tariff, please",
    "One moment, I am looking it up.",
    "Thank you, that is all.",
)


def phrase(rng: random.Random) -> str:
    """Return something to say."""
    return rng.choice(PHRASES)
