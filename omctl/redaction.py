"""Show a connection URL without its secrets."""

from __future__ import annotations

import re
from typing import Final

HIDDEN: Final = "set"
"""Shown instead of a URL whose secret parts cannot be told from the others."""

_AMBIGUOUS: Final = re.compile(r"[?#].*@", re.DOTALL)
"""Either a password with `?` or `#` in it, or a query with `@` in it."""


def redact_url(url: str) -> str:
    """Return scheme, host and path of *url*, or HIDDEN.

    User, password, query and fragment are left out. The URL may be malformed: a password that should have
    been percent-encoded may contain any character, so nothing before the last `@` is trusted.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or "@" in scheme or _AMBIGUOUS.search(url):
        return HIDDEN
    return f"{scheme}://{re.split('[?#]', rest.rpartition('@')[2])[0]}"


def redact_urls(text: str) -> str:
    """Return a comma-separated list of URLs, each redacted; HIDDEN if a comma may belong to a password."""
    urls = [part.strip() for part in text.split(",") if part.strip()]
    has_login = {"@" in url for url in urls}
    shown = [redact_url(url) for url in urls]
    return ", ".join(shown) if HIDDEN not in shown and len(has_login) == 1 else HIDDEN
