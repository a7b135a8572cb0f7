"""Figures with their birth certificate, and the pages that quote them: `make figures`, `make check`."""

from tests.figures.certificate import broker_versions, certificate, postgresql_version
from tests.figures.checkout import Checkout, Standing

__all__ = ["Checkout", "Standing", "broker_versions", "certificate", "postgresql_version"]
