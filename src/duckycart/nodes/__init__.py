"""The servers of one database know of each other: `heartbeat.py` notices nodes that died without a word, `clocks.py`
those whose clocks disagree."""
