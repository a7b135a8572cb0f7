"""List dead letters, replay them or discard them."""

from omctl.dead_letters.options import choice_options, order_options
from omctl.dead_letters.printing import as_plain, print_letters, print_summary
from omctl.dead_letters.session import Session, dead_letter_session
from omctl.dead_letters.working_off import Order, scan, windows

__all__ = [
    "Order",
    "Session",
    "as_plain",
    "choice_options",
    "dead_letter_session",
    "order_options",
    "print_letters",
    "print_summary",
    "scan",
    "windows",
]
