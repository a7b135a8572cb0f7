"""What `make demo` runs around the service: a platform that withholds events, and destinations."""

from simulator.demonstration.accounts import Accounts, ReconciliationResult, read_accounts
from simulator.demonstration.services import (
    WITHHELD,
    ConversationCounts,
    DemonstrationServices,
    WithheldEvents,
    count_unfinished,
    demonstration_plan,
    has_subscriptions,
    read_counts,
)
