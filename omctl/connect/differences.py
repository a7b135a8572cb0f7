"""Compare what is registered with what is configured, field by field, without showing secrets."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from omctl.connect.registration import SECRET

ABSENT: Final = "-"
_HEADER_FIELDS: Final = frozenset({"headers", "webhookHeaders"})


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that differs, without secrets."""

    field: str
    registered: str
    configured: str


def find_differences(configured: Mapping[str, Any], registered: Mapping[str, Any] | None) -> list[Difference]:
    """Compare the configured fields with what the platform has; None if it has nothing."""
    wanted = dict(_flatten(configured))
    found = dict(_flatten({name: (registered or {}).get(name) for name in configured}))
    return [
        _difference(name, found.get(name), wanted.get(name))
        for name in sorted({*wanted, *found})
        if found.get(name) != wanted.get(name)
    ]


def _flatten(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each field by its dotted name; headers in lower case, event filters by their type."""
    name = path.rpartition(".")[2]
    if name == "eventFilters":
        texts: dict[str, list[str]] = {}
        for one in value or []:
            texts.setdefault(str(one.get("eventType")), []).append(str(one.get("filter") or "everything"))
        value = {event_type: " or ".join(sorted(alternatives)) for event_type, alternatives in texts.items()}
    if not isinstance(value, dict):
        if value is not None:
            yield path, value
        return
    for key, inner in value.items():
        key = key.lower() if name in _HEADER_FIELDS else key  # noqa: PLW2901
        yield from _flatten(inner, f"{path}.{key}" if path else key)


def _difference(name: str, registered: Any, configured: Any) -> Difference:
    """Describe a difference; of a secret only that it differs."""
    if name == SECRET or any(part in _HEADER_FIELDS for part in name.split(".")):
        return Difference(
            name,
            ABSENT if registered is None else "another value",
            ABSENT if configured is None else "not shown",
        )
    return Difference(name, _text(registered), _text(configured))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ABSENT if value is None else str(value)
