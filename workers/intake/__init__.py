"""Process a batch of deliveries: parse, claim, dispatch, commit."""

from workers.intake.handler_table import installed_handlers, unstored_types
from workers.intake.intake import Intake
from workers.intake.reading import FILTERED
