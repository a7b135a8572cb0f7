"""Genesys Cloud's counterpart: for demonstrations, tests, and integrators without an organisation."""
