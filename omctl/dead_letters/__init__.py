"""Look at dead letters, choose among them, run them again or discard them."""

from omctl.dead_letters.choice import Choice, choose
from omctl.dead_letters.letters import DeadLetter, read_dead_letters
from omctl.dead_letters.options import choice_options, order_options
from omctl.dead_letters.printing import as_plain, print_letters, print_summary
from omctl.dead_letters.working_off import Order, Progress, WorkingOff

__all__ = [
    "Choice",
    "DeadLetter",
    "Order",
    "Progress",
    "WorkingOff",
    "as_plain",
    "choice_options",
    "choose",
    "order_options",
    "print_letters",
    "print_summary",
    "read_dead_letters",
]
