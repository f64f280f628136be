"""Operators administer a shop from the shell: carts and their keys, products, users, backups.

It works on the database itself, also while a server runs on the same file: every change is one short transaction of its
own, and the server notices a withdrawn key by its sweep within seconds. The server's file lock is not taken.

`carts`, `products`, `users` and `database` each hold a Typer app and import what touches the database only when a
command runs, so that `duckycart --help` and the cart's own program stay light. `fleet` and `catalogue` are that part.
"""
