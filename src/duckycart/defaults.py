"""A server that was told nothing listens here and keeps its data there; the shell and the cart look for it there."""

from typing import Final

HOST: Final = "127.0.0.1"
PORT: Final = 8000
URL: Final = f"http://{HOST}:{PORT}"
DATABASE: Final = "sqlite:///duckycart.db"
