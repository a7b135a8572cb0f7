"""Provide the revisions, one in each file. This is a package so that an installation includes the files."""
