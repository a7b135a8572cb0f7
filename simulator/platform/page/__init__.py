"""Let an integrator play an organisation in a browser: customer, agent, and what each webhook came to."""

from simulator.platform.page.fates import Fates
from simulator.platform.page.routes import page_routes

__all__ = ["Fates", "page_routes"]
