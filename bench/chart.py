"""Horizontal bars as SVG, readable on light and dark pages."""

from collections.abc import Sequence
from html import escape
from typing import Final

WIDTH: Final = 860
LEFT: Final = 400  # of the names
ROW: Final = 20
SPAN: Final = 2.0  # a bar that is longer is cut off, and says by how much
STYLE: Final = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.part { font-weight: 600 } .value { font-variant-numeric: tabular-nums }
.reached { fill: #1a7f37 } .missed { fill: #bc4c00 } line { stroke: #59636e; stroke-dasharray: 3 3 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .reached { fill: #3fb950 } .missed { fill: #f0883e } line { stroke: #9198a1 }
}
"""


def bars(rows: Sequence[tuple[str, str, float]]) -> str:
    """Bars of (part, name, value by its target); 1 is marked with a line."""
    scale = (WIDTH - LEFT - 60) / SPAN
    shapes: list[str] = []
    y, part_before = 8, ""
    for part, name, value in rows:
        if part != part_before:
            y += ROW + 6
            shapes.append(f'<text class="part" x="0" y="{y}">{escape(part)}</text>')
            part_before = part
        y += ROW
        length = max(1.0, min(value, SPAN) * scale)
        kind = "reached" if value <= 1 else "missed"
        shapes += [
            f'<text x="{LEFT - 8}" y="{y}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="{kind}" x="{LEFT}" y="{y - 11}" width="{length:.1f}" height="14" rx="2"/>',
            f'<text class="value" x="{LEFT + length + 6:.1f}" y="{y}">{value:.2f}</text>',
        ]
    height = y + 16
    one = LEFT + scale
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
            "<title>Each figure by its target; 1 is the target</title>",
            f"<style>{STYLE}</style>",
            *shapes,
            f'<line x1="{one}" y1="8" x2="{one}" y2="{height}"/>',
            "</svg>",
            "",
        ]
    )
