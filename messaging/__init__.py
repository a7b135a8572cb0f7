"""Provide the code that the edge and the workers share. Only this package uses AMQP."""
