"""The same cells on local worker processes."""
