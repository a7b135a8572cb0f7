"""Hold every table and every statement of the workers."""
