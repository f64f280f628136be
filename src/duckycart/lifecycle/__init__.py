"""Here is everything that can happen to a cart: one function is one transition is one transaction.

A transition takes a `Transaction` and returns a plain result; it first locks the cart with an UPDATE of its row, which
orders everything of that cart. `transitions.py` says what is allowed; `carts.queue_command` writes the command with the
change. Functions that only look take a `Connection`, and those about no cart, such as accounts, lock none. Nothing here
knows of sockets or HTTP.
"""
