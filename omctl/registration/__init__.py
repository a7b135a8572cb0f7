"""Registrations at the platform: what is configured, what is registered, and how to make them equal."""

from omctl.registration.configured import Configured, read_configured
from omctl.registration.differences import Difference, find_differences
from omctl.registration.registrar import Registered, Registrar, RegistrationError
