"""Settle conversations: a closed window's events, in their order, to one state and the outbox."""

from workers.settle.settler import Settler
from workers.settle.verifier import Verifier
