"""Isolate the items at fault: set them aside, and process all others."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from messaging.errors import RetryLaterError, StatementRefusedError

Item = TypeVar("Item")


def isolate(
    items: Sequence[Item],
    work: Callable[[Sequence[Item]], int | None],
    on_fault: Callable[[Item, Exception], None],
) -> int:
    """Do *work* for all items together; if it fails, for each half of them, until an item fails alone.

    Each item is passed either to one call of *work* that returns or, with its error, to *on_fault*. One item
    at fault among n costs about 2 log2(n) calls, n items at fault about 2n. Returns the sum of the results.

    Args:
        items: Each call of *work* gets consecutive items, in this order. Without items, nothing is called.
        work: Takes effect for all of its items, or raises and leaves no trace (one transaction).
        on_fault: Sets one item aside. The call goes on with the next item, unless this raises.

    Raises:
        RetryLaterError: The database, the broker or the platform is away, which is no item's fault. The items
            before stay processed, and the rest was not tried. Every other exception, including
            StatementRefusedError, is attributed to its item.
    """
    if not items:
        return 0
    try:
        return work(items) or 0
    except Exception as error:  # no error of one item may affect the others
        if isinstance(error, RetryLaterError) and not isinstance(error, StatementRefusedError):
            raise
        if len(items) == 1:
            on_fault(items[0], error)
            return 0
        middle = len(items) // 2
        return isolate(items[:middle], work, on_fault) + isolate(items[middle:], work, on_fault)
