"""Each resource of HTTP has a thin file: it reads the request, asks a transition, writes the answer; no rule of the
shop.

`errors.py` maps the error tree once; `who.py` reads credentials; `writes.py` runs a transition once per Idempotency-Key
and says what became of its command.
"""
