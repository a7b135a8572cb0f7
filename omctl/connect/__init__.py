"""Prepare the broker, the database and the platform for the service. Other packages may import any module."""
