"""Call the API of Genesys Cloud within its rate limit, and derive conversations' states from its answers."""

from workers.genesys.budget import RequestBudget
from workers.genesys.client import GenesysClient, open_client
from workers.genesys.errors import PlatformBusyError, PlatformRefusedError, PlatformUnavailableError
from workers.genesys.failed_receipts import FailedReceipts
from workers.genesys.settings import GenesysSettings, find_region, is_safe, read_genesys_settings
from workers.genesys.states import REFUSED_SECONDS, ConversationStates, PlatformState, derive_state
