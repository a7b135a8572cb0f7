"""Format the results of all faults as a table, and as a last line for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COLUMNS = {
    "fault": "{number}",
    "": "{title}",
    "stand": "{stand}",
    "capacity/s": "{capacity}",
    "rate/s": "{rate}",
    "proved": "{strikes_proved}/{rounds}",
    "answered": "{answered}",
    "dead": "{dead_lettered}",
    "given up": "{given_up}",
    "lost": "{lost}",
    "repeated": "{repeated}",
    "good waited s": "{good_waited_s}",
    "of its own": "{own_good_waited_s}",
    "p50 ms": "{p50_ms}",
    "p99 ms": "{p99_ms}",
    "p99.9 ms": "{p999_ms}",
    "stall s": "{longest_stall_s}",
    "own": "{own_longest_stall_s}",
    "s": "{seconds}",
    " ": "{failure}",
}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table with one line for each fault on each kind of stand."""
    cells = [
        tuple(COLUMNS),
        *(tuple(form.format(**row).replace("None", "-") for form in COLUMNS.values()) for row in rows),
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def summary(rows: Sequence[Mapping[str, Any]], certificate: Mapping[str, Any]) -> str:
    """Return the last line of the output, for scripts."""

    def total(name: str) -> int:
        return sum(int(row.get(name, 0)) for row in rows)

    failed = sorted({row["number"] for row in rows if is_bad(row)})
    stall = max((row["longest_stall_s"] for row in rows), default=0)
    waited = max((row["good_waited_s"] or 0 for row in rows), default=0)
    line = (
        f"chaos: commit={certificate['commit'][:12]} seed={certificate['seed']}"
        f" faults={len({row['number'] for row in rows})} rounds={total('rounds')}"
        f" strikes_proved={total('strikes_proved')} traces={total('rounds')} accepted={total('accepted')}"
        f" answered={total('answered')}"
        f" longest_stall_s={stall}"
        f" lost={total('lost')} repeated={total('repeated')} found={total('found')}/{total('drawn')}"
        f" good_waited_s={waited}"
    )
    return f"{line} failed={','.join(map(str, failed))}" if failed else line


def is_bad(row: Mapping[str, Any]) -> bool:
    """Return whether a fault's row shows a broken promise."""
    is_proved = row["rounds"] and row["strikes_proved"] >= row["rounds"]
    is_recorded = row["accepted"] >= row["rounds"]
    # Rows recorded by earlier versions have no drawn events.
    is_found = row.get("found", 0) >= row.get("drawn", 0)
    is_whole = row["answered"] and is_proved and is_recorded and is_found
    return bool(row["failure"] or row["lost"] or row["repeated"] or not is_whole)
