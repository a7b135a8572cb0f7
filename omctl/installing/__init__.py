"""Install the service on a Debian host under systemd. Other packages may import any module."""
