"""Talk to Genesys Cloud: tokens, requests, the rate budget, and where a conversation stands there."""

from workers.genesys.budget import RequestBudget
from workers.genesys.client import GenesysClient
from workers.genesys.conversation_states import REFUSED_SECONDS, ConversationStates
from workers.genesys.errors import PlatformBusyError, PlatformRefusedError, PlatformUnavailableError
from workers.genesys.routing_state import PlatformState, platform_state_of
from workers.genesys.settings import GenesysSettings, is_safe, read_genesys_settings, region_of

__all__ = [
    "REFUSED_SECONDS",
    "ConversationStates",
    "GenesysClient",
    "GenesysSettings",
    "PlatformBusyError",
    "PlatformRefusedError",
    "PlatformState",
    "PlatformUnavailableError",
    "RequestBudget",
    "is_safe",
    "platform_state_of",
    "read_genesys_settings",
    "region_of",
]
