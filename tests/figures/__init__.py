"""Record figures with a certificate of their measurement, and quote them in documentation pages."""

from tests.figures.certificate import broker_versions, certificate, postgresql_version
from tests.figures.checkout import Checkout, Standing

__all__ = ["Checkout", "Standing", "broker_versions", "certificate", "postgresql_version"]
