"""Figures with their birth certificate, and the pages that quote them: `make figures`, `make check`."""

from tests.figures.certificate import broker_versions, certificate, postgresql_version

__all__ = ["broker_versions", "certificate", "postgresql_version"]
