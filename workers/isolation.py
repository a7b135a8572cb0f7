"""Process several items together; if that fails, find the items at fault and process the others."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from messaging.errors import RetryLaterError, StatementRefusedError

Item = TypeVar("Item")


def isolate(
    items: Sequence[Item],
    work: Callable[[Sequence[Item]], int | None],
    on_fault: Callable[[Item, Exception], None],
) -> int:
    """Call *work* with all items; if it fails, split them in half and retry each half, down to single items.

    Every item is either processed by a successful call of *work*, or passed to *on_fault* with its error.
    With n items, one item at fault costs about 2 log2(n) calls; if all are at fault, about 2n are needed.
    Returns the sum of the results of *work*.

    Args:
        items: Each call of *work* gets consecutive items, in this order. Without items, *work* is not called.
        work: Processes all of its items in one transaction, or raises an error and has no effect.
        on_fault: Sets one item aside. Processing continues with the next item unless *on_fault* raises.

    Raises:
        RetryLaterError: The database, the broker or the platform is away. Earlier items stay processed; later
            items were not tried. Other errors, including StatementRefusedError, are blamed on an item.
    """
    if not items:
        return 0
    try:
        return work(items) or 0
    except Exception as error:  # an error in one item must not affect the others
        if isinstance(error, RetryLaterError) and not isinstance(error, StatementRefusedError):
            raise
        if len(items) == 1:
            on_fault(items[0], error)
            return 0
        middle = len(items) // 2
        return isolate(items[:middle], work, on_fault) + isolate(items[middle:], work, on_fault)
