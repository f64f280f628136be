"""The bus carries messages between the servers of one database.

`messages.py` has the messages, `protocol.py` the promise of whoever carries them, `nats.py` the carrier. A bus only
hurries things: whatever it loses, the sweeps find in the database.
"""
