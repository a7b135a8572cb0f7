"""Process a batch of deliveries: parse the bodies, claim new events, call their handlers, and commit."""

from workers.handlers import installed_handlers, unstored_types
from workers.intake.intake import Intake
from workers.intake.reading import FILTERED
