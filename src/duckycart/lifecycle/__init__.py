"""What can happen to a cart. One function is one transition is one transaction.

Each takes a `Transaction` and returns a plain result; it first UPDATEs the cart's row, which is the lock that orders
everything of that cart. `transitions.py` says what is allowed; `carts.queue_command` writes the command with the
change.
Nothing here knows of sockets or HTTP.
"""
