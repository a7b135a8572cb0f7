"""Compare what is registered with what is configured, field by field, and show no secret."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from omctl.registration.wanted import SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ABSENT: Final = "-"
ANOTHER: Final = "another value"
HIDDEN: Final = "not shown"

_HEADER_FIELDS: Final = frozenset({"headers", "webhookHeaders"})


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that is not as it should be, fit for a screen."""

    field: str
    registered: str
    configured: str


def differences(configured: Mapping[str, Any], registered: Mapping[str, Any] | None) -> list[Difference]:
    """Return what differs, of the fields that are ours.

    Args:
        configured: What would be sent.
        registered: What the platform has; None where it has nothing.
    """
    wanted = dict(_fields(configured))
    there = dict(_fields({name: (registered or {}).get(name) for name in configured}))
    return [
        _shown(name, there.get(name), wanted.get(name))
        for name in sorted({*wanted, *there})
        if there.get(name) != wanted.get(name)
    ]


def _fields(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each field under its dotted name; headers in small letters, event filters by their type."""
    name = path.rpartition(".")[2]
    if name == "eventFilters":
        value = _by_type(value or [])
    if not isinstance(value, dict):
        if value is not None:
            yield path, value
        return
    for key, inner in value.items():
        shown = key.lower() if name in _HEADER_FIELDS else key
        yield from _fields(inner, f"{path}.{shown}" if path else shown)


def _by_type(filters: list[dict[str, Any]]) -> dict[str, str]:
    texts: dict[str, list[str]] = {}
    for each in filters:
        texts.setdefault(str(each.get("eventType")), []).append(str(each.get("filter") or "everything"))
    return {event_type: " or ".join(sorted(each)) for event_type, each in texts.items()}


def _shown(name: str, registered: Any, configured: Any) -> Difference:
    """Say that a secret differs, and nothing of it."""
    is_secret = name == SECRET or any(part in _HEADER_FIELDS for part in name.split("."))
    if is_secret:
        return Difference(
            name,
            ABSENT if registered is None else ANOTHER,
            ABSENT if configured is None else HIDDEN,
        )
    return Difference(name, _text(registered), _text(configured))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ABSENT if value is None else str(value)
