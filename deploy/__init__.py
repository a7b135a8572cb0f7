"""Files that install, configure and run the service on a machine."""
