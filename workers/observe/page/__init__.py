"""Show operators in a browser what flows, what is stuck and since when: read-only, nothing personal."""

from workers.observe.page.app import ops_app
from workers.observe.page.edges import Edges
from workers.observe.page.flow import Flow

__all__ = ["Edges", "Flow", "ops_app"]
