"""Process a batch of deliveries: parse, claim, dispatch, commit."""

from workers.intake.handler_table import installed_handlers
from workers.intake.intake import Intake
from workers.intake.outcome import unstored_types
from workers.intake.reading import FILTERED
