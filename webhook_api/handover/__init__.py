"""Hand accepted events over to the broker: publish, prove, publish again."""
