"""Take a batch of deliveries in: parse, claim, give effect, commit."""
