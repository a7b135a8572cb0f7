"""What the edge and the workers must agree on; the only package that speaks AMQP."""
