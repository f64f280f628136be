"""`python -m duckycart`, the same as `duckycart`."""

from duckycart.cli import main

main()
