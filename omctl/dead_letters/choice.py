"""Choose among dead letters."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from omctl.dead_letters.letters import DeadLetter


@dataclass(frozen=True, slots=True)
class Choice:
    """What a letter must have to be chosen; what is empty does not matter.

    Args:
        message_ids: One of these ids.
        codes: One of these codes.
        types: One of these event types, whole or its last word.
        conversations: One of these conversations.
        since: Died then or later.
        until: Died before.
        with_destinations: Those too that a destination did not take. Intake has processed them, and would
            refuse them.
    """

    message_ids: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    conversations: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    with_destinations: bool = True

    def has(self, letter: DeadLetter) -> bool:
        """Tell whether a letter is chosen."""
        return (
            _is_among(self.message_ids, letter.message_id)
            and _is_among(self.codes, letter.code)
            and _is_among(self.types, letter.event_type, letter.event_type.rpartition(":")[2])
            and _is_among(self.conversations, letter.conversation_id)
            and self._is_in_time(letter.died_at)
            and (self.with_destinations or letter.destination is None)
        )

    def as_json(self) -> str:
        """Return it for the record."""
        return json.dumps({name: value for name, value in asdict(self).items() if value}, default=str)

    def _is_in_time(self, died_at: datetime | None) -> bool:
        if self.since is None and self.until is None:
            return True
        if died_at is None:
            return False
        return (self.since is None or died_at >= self.since) and (self.until is None or died_at < self.until)


def choose(letters: Mapping[str, DeadLetter], choice: Choice, most: int | None = None) -> list[DeadLetter]:
    """Return the letters that are chosen, the oldest first, at most so many."""
    chosen = [letter for letter in letters.values() if choice.has(letter)]
    return chosen if most is None else chosen[:most]


def _is_among(wanted: tuple[str, ...], *names: str) -> bool:
    return not wanted or any(name in wanted for name in names)
