"""A simulated Genesys Cloud: the part of it that this service uses, with a memory, an API and a page."""

from simulator.platform.app import create_platform, serve_platform
from simulator.platform.history import History
from simulator.platform.organisation import Conversation, Fault, Organisation, Participant
