"""The store keeps everything: `tables.py` and `migrations/` say what, `transaction.py` promises how, `sqlite.py` and
`postgres.py` do it."""
