"""Take a batch of deliveries in: parse, claim, give effect, commit."""

from workers.intake.dispatch import installed_handlers, own_handlers
from workers.intake.intake import Intake

__all__ = ["Intake", "installed_handlers", "own_handlers"]
