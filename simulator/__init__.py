"""Simulate Genesys Cloud for demonstrations and tests, and for integrators without an organisation."""
