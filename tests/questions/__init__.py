"""The questions of docs/database.md, and tables of a size at which their plans matter."""
