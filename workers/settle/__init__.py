"""Settle conversations: turn a closed window's events, in order, into one state and outbox entries."""

from workers.settle.settler import Settler
from workers.settle.verifier import Verifier
