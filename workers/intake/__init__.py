"""Take a batch of deliveries in: parse, claim, give effect, commit."""

from workers.intake.dispatch import installed_handlers, own_handlers
from workers.intake.guard import FILTERED
from workers.intake.intake import Intake
from workers.intake.unstored import unstored_types

__all__ = ["FILTERED", "Intake", "installed_handlers", "own_handlers", "unstored_types"]
