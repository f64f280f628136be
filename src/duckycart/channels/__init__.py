"""What screens and phones listen to: a WebSocket or a stream of server-sent events, one session or one cart.

`messages.py` is their words, `channels.py` who listens to what, `socket.py` and `stream.py` the two ways to say it. A
listener holds no database connection (F14) and nobody waits for one: what it has not yet read is bounded, and over that
it is dropped.
"""
