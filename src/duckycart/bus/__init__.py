"""What the servers of one database tell each other.

`messages.py` is what they say, `protocol.py` the promise of whoever carries it, `nats.py` the carrier. A bus only
hurries things: whatever it loses, the sweeps find in the database.
"""
