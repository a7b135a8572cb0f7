"""Code that the edge and the workers share; the only package that uses AMQP."""
