"""Payments go their way around the provider here; what they do to carts and sessions is in lifecycle."""
