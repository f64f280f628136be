"""The carts' sockets: from a committed command to the frame on the wire, and the receipt back.

socket.py opens a connection, connect.py claims the cart for it, and ownership.py has every statement about who owns a
cart. dispatch.py offers committed commands to links; link.py decides what is sent (no I/O); socket.py writes it;
receipts.py brings the pong back to the command's row. catchup.py decides what a cart that comes back has to hear;
sweep.py finds what every hint missed. Nothing in this package knows of payments or HTTP resources.
"""
