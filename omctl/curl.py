"""Write the shell line that posts a signed event."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from omctl.secrets import SIGNATURE_HEADER

if TYPE_CHECKING:
    from collections.abc import Mapping


def curl_line(url: str, value: str, body: bytes, path: str | None, headers: Mapping[str, str]) -> str:
    """Return a shell line that posts *body*, read from *path* if given, with its signature and *headers*."""
    sent = {SIGNATURE_HEADER: value, "Content-Type": "application/json", **headers}
    data = ["--data-binary", f"@{path}"] if path else ["--data-raw", _pasteable(body)]
    fields = [word for name, text in sent.items() for word in ("-H", f"{name}: {text}")]
    return shlex.join(["curl", "-sS", "-i", url, *fields, *data])


def _pasteable(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise click.UsageError(
            "This body is no text to paste: name a file instead of standard input."
        ) from None
