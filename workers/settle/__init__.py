"""Settle conversations: derive the state and the outbox entries from the events of a closed window."""

from workers.settle.settler import Settler
from workers.settle.verifier import Verifier
