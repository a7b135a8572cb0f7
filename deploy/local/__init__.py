"""Run the service from a checkout on this machine."""
