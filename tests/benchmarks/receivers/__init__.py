"""The alternative programs with which the service is compared."""
