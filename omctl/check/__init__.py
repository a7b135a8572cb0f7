"""Look into a running service: one module for each area; each returns findings."""

from omctl.check.broker import check_broker, check_proof
from omctl.check.database import check_database
from omctl.check.edge import check_addresses, check_canary, check_edge, health_url
from omctl.check.findings import Finding, Level, check_areas
from omctl.check.journal import check_journals, check_oversized
from omctl.check.management import check_management
from omctl.check.settings import SettingExplanation, check_settings, explain_settings
