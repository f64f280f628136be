"""What one connection, or one address, may cost the others, whatever it sends and whatever it leaves unread.

`frames.py` counts a WebSocket's frames and `heads.py` finds where a request ends, both without any I/O; `turns.py`
gives a connection its turns of the event loop; `unread.py` ends one that does not read.
"""
