"""Providers take the money; `protocol.py` is what each of them must be able to do."""
