"""The service on one machine by one command, with a broker where none is named."""
