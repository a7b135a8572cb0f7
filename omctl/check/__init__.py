"""Looking into a running service: one file for each thing that is looked at, findings out."""

from omctl.check.broker import check_broker
from omctl.check.configuration import check_configuration
from omctl.check.database import check_database
from omctl.check.edge import check_edge, health_url
from omctl.check.explanation import Explained, explained
from omctl.check.finding import Finding, Level
from omctl.check.host import check_addresses, secret_findings
from omctl.check.journal import check_journals, oversized_findings
from omctl.check.management import check_management
from omctl.check.proof import check_proof

__all__ = [
    "Explained",
    "Finding",
    "Level",
    "check_addresses",
    "check_broker",
    "check_configuration",
    "check_database",
    "check_edge",
    "check_journals",
    "check_management",
    "check_proof",
    "explained",
    "health_url",
    "oversized_findings",
    "secret_findings",
]
