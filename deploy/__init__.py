"""Install, configure and run the service on a machine."""
