"""Say what a finding is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    PROBLEM = "problem"
    """Events are lost, refused or stuck, now or after the next fault; the exit status is 1."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Args:
        area: Where it belongs: configuration, broker, management, database, edge, journal.
        subject: What was looked at.
        level: How bad it is.
        text: What was found, in words.
        advice: What to do; empty where nothing is to be done.
    """

    area: str
    subject: str
    level: Level
    text: str
    advice: str = ""
