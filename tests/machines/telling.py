"""What a person reads while machines are struck, and at the end."""

import time
from collections.abc import Mapping


def tell(words: str) -> None:
    """Print what has just been proven, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {words}", flush=True)


def line(name: str, numbers: Mapping[str, int]) -> str:
    """Return a journey's last line."""
    return f"{name}: " + " ".join(f"{each}={number}" for each, number in numbers.items())
