"""Install the service on a Debian host under systemd; each module is public."""
