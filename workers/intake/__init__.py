"""Take a batch of deliveries in: parse, claim, give effect, commit."""

from workers.intake.dispatch import HANDLERS, installed_handlers
from workers.intake.intake import Intake

__all__ = ["HANDLERS", "Intake", "installed_handlers"]
