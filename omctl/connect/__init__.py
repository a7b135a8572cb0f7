"""Prepare what the service works with: broker, database, platform; each module is public."""
