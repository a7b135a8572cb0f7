"""Be Genesys Cloud for whoever has no organisation there: what this service uses of it, with a memory."""

from simulator.platform.app import create_platform
from simulator.platform.history import History
from simulator.platform.organisation import (
    AddressRange,
    Communication,
    Conversation,
    Fault,
    Organisation,
    Participant,
)
from simulator.platform.page import Fates
from simulator.platform.server import serving_platform

__all__ = [
    "AddressRange",
    "Communication",
    "Conversation",
    "Fates",
    "Fault",
    "History",
    "Organisation",
    "Participant",
    "create_platform",
    "serving_platform",
]
