"""Provide the revisions, one per file. This is a package so that an installation includes the files."""
