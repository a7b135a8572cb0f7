"""Look at the database."""

from omctl.check.finding import Finding


def check_database(url: str) -> list[Finding]:
    """Return nothing yet."""
    del url
    return []
