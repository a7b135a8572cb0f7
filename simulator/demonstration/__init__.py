"""What `make demo` runs around the service: a platform that withholds events, and destinations."""

from simulator.demonstration.accounts import Accounts, ReconciliationResult, read_accounts
from simulator.demonstration.services import (
    SUBSCRIPTIONS_KNOWN,
    UNFINISHED,
    WITHHELD,
    ConversationCounts,
    DemonstrationServices,
    WithheldEvents,
    demonstration_plan,
    query,
    read_counts,
    serve_services,
)
