"""`python -m duckycart` does the same as `duckycart`."""

from duckycart.cli import main

main()
