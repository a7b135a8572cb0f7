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

__all__ = [
    "AddressRange",
    "Communication",
    "Conversation",
    "Fault",
    "History",
    "Organisation",
    "Participant",
    "create_platform",
]
