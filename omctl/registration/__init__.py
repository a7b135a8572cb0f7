"""Have the platform know this service: what is wanted, what is registered, how one becomes the other."""

from omctl.registration.difference import Difference, differences
from omctl.registration.registrar import Registered, Registrar, RegistrationError
from omctl.registration.wanted import Wanted, read_wanted

__all__ = [
    "Difference",
    "Registered",
    "Registrar",
    "RegistrationError",
    "Wanted",
    "differences",
    "read_wanted",
]
