"""Be the services behind: take what is delivered, verify it, remember it."""

from simulator.receiver.app import create_receiver
from simulator.receiver.destinations import destination_table
from simulator.receiver.inbox import Inbox, Told
from simulator.receiver.server import serving

__all__ = ["Inbox", "Told", "create_receiver", "destination_table", "serving"]
