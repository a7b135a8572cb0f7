"""Run the edge, which verifies, journals, publishes and answers webhooks without parsing their bodies."""
