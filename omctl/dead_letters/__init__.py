"""Look at dead letters, choose among them, run them again or discard them."""

from omctl.dead_letters.carrying_out import Wish, carry_out
from omctl.dead_letters.choice import Choice, choose
from omctl.dead_letters.hand import Hand, in_hand
from omctl.dead_letters.letters import DeadLetter, read_dead_letters
from omctl.dead_letters.options import choice_options, order_options
from omctl.dead_letters.printing import as_plain, print_letters, print_summary

__all__ = [
    "Choice",
    "DeadLetter",
    "Hand",
    "Wish",
    "as_plain",
    "carry_out",
    "choice_options",
    "choose",
    "in_hand",
    "order_options",
    "print_letters",
    "print_summary",
    "read_dead_letters",
]
