"""This package is the program that runs on the cart.

The way of one command here: the socket's frame (`program`) → `wire.decode` → the transition table (`machine`), which
compares the command with the cart's state and says what the hardware must do → the hardware (`driver`; `terminal` draws
it). Nothing goes back up: the pong that the WebSocket library sends is the cart's only receipt.

Beside it, while nobody shops, `qr` keeps a valid QR on display. `setback` judges what went wrong with the server,
`backoff` how long to leave it alone. `command` is what the command line starts.
"""
