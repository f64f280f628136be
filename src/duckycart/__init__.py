"""DuckyCart is the server for smart shopping carts, and the program that runs on the cart."""
