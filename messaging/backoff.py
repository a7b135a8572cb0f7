"""Choose how long to wait before the next attempt: exponential, with jitter."""

import random

FIRST_SECONDS = 0.2
CAP_SECONDS = 5.0
"""Long enough not to load a broker that is starting, short beside the journal's capacity."""


def delay_before(
    attempt: int, *, first_seconds: float = FIRST_SECONDS, cap_seconds: float = CAP_SECONDS
) -> float:
    """Return the seconds to wait before *attempt*, which counts from 1; the first waits for nothing.

    Args:
        attempt: The attempt to wait for.
        first_seconds: The longest wait before the second attempt; it doubles with each further one.
        cap_seconds: The longest wait of all.

    Source:
        "Exponential Backoff And Jitter", AWS Architecture Blog.
    """
    if attempt <= 1:
        return 0.0
    ceiling = min(cap_seconds, first_seconds * 2 ** min(attempt - 2, 16))
    return random.uniform(ceiling / 4, ceiling)  # noqa: S311  # spreads clients out, guards nothing
