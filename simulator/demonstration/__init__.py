"""What `make demo` runs around the service: a platform that withholds events, and destinations."""

from simulator.demonstration.accounts import Accounts, ReconciliationResult, read_accounts
from simulator.demonstration.services import (
    ConversationCounts,
    DemonstrationServices,
    count_unfinished,
    has_subscriptions,
    read_counts,
)
from simulator.demonstration.withheld import WITHHELD, WithheldEvents, demonstration_plan
