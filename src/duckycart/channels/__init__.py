"""Screens and phones listen over a WebSocket or a stream of server-sent events, each to one session or one cart.

`messages.py` has the messages, `channels.py` says who listens to what, `socket.py` and `stream.py` are the two ways on
which news goes out. A listener holds no database connection (F14) and nobody waits for one: what it has not yet read is
bounded, and over that it is dropped.
"""
