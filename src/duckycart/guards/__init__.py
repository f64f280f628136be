"""The guards bound what one connection, or one address, may cost the others, whatever it sends or leaves unread.

Free of I/O: `frames.py` counts a WebSocket's frames, `heads.py` finds where a request ends, `rate.py` counts calls,
`crowd.py` and `places.py` choose who goes when there are too many. In the event loop: `door.py` accepts connections,
`turnstile.py` lets them through a few at a time, `turns.py` gives each its turns, `unread.py` ends one that does not
read.
"""
