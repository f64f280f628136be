"""The way of a payment around its provider."""
