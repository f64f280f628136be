"""This package is the program that runs on the cart.

The way of one command here: the socket's frame (`program`) → `wire.decode` → the transition table (`machine`), which
compares the command with the cart's state and says what the hardware must do → the hardware (`driver`; `drivers` finds
it and makes several work as one; `terminal`, `gpio` and others are some). The pong that the WebSocket library sends is
the command's receipt.

The way of one item: the hardware hears something (`heard`, from `scanner`, `scale`, …) → the table of what scans and
weights mean (`shopping`) → `session`, which makes calls of that → `calls`, where they wait for the network → the basket
on display. What a power cut must not take is in `journal`.

Beside it, while nobody shops, `qr` keeps a valid QR on display. `setback` judges what went wrong with the server,
`backoff` how long to leave it alone. `command` is what the command line starts, by the settings of `config` and
`setup`; `check` tries everything once, `script` is hardware that goes by a file.
"""
