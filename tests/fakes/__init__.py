"""Provide fakes that a test controls. Each fake has the interface of the real object."""
