"""The alternatives that the service is measured against."""
