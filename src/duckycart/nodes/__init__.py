"""Several servers on one database: what they tell each other, and how they know of each other.

`messages.py` is what they say, `bus.py` the promise of whoever carries it, `nats.py` the carrier. It only hurries
things: whatever it loses, the sweeps find in the database. `heartbeat.py` notices nodes that died without a word.
"""
