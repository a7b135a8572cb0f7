"""Simulate the part of Genesys Cloud that this service uses: its state, its API and a page."""

from simulator.platform.app import create_platform, serve_platform
from simulator.platform.history import History
from simulator.platform.organisation import Conversation, Fault, Organisation, Participant
