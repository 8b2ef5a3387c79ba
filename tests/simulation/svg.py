# SPDX-License-Identifier: LGPL-2.1-or-later
"""Line charts in SVG, readable on light and on dark backgrounds."""

import html
import math

GREY = "#7d8590"
COLOURS = ("#2f81f7", "#d4720b", "#3fa34d", "#c2408f", "#8a63d2", "#159e9e", "#b8860b")
WIDTH, HEIGHT = 360, 250                # of a panel
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 28, 42
FONT = 'font-family="sans-serif" font-size="11"'


def _text(x, y, text, anchor="middle", colour=GREY, more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" {FONT} {more}>{html.escape(text)}</text>'


class Axis:
    def __init__(self, least, most, ticks, logarithmic=False, label=str):
        self.least, self.most, self.ticks, self.logarithmic, self.label = least, most, ticks, logarithmic, label

    def share(self, value):
        """Where a value is, from 0 to 1."""
        value = min(max(value, self.least), self.most)
        if self.logarithmic:
            return math.log(value / self.least) / math.log(self.most / self.least)
        return (value - self.least) / (self.most - self.least)


class Panel:
    """One chart: lines of (x, y) points."""

    def __init__(self, title, x, y, x_title, y_title):
        self.title, self.x, self.y, self.x_title, self.y_title = title, x, y, x_title, y_title
        self.lines = []
        self.marks = []

    def line(self, points, colour, dashed=False, width=2):
        self.lines.append((points, colour, dashed, width))

    def mark(self, x, y, text, colour=GREY):
        self.marks.append((x, y, text, colour))

    def draw(self, left, top):
        inner_width, inner_height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

        def at(x, y):
            return (left + LEFT + self.x.share(x) * inner_width, top + TOP + (1 - self.y.share(y)) * inner_height)

        parts = [_text(left + LEFT + inner_width / 2, top + 16, self.title, more='font-weight="bold"')]
        for value in self.y.ticks:
            x, y = at(self.x.least, value)
            parts.append(f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{x + inner_width:.1f}" y2="{y:.1f}" stroke="{GREY}" '
                         'stroke-opacity="0.25"/>')
            parts.append(_text(x - 5, y + 4, self.y.label(value), "end"))
        for value in self.x.ticks:
            x, y = at(value, self.y.least)
            parts.append(_text(x, y + 15, self.x.label(value)))
        parts.append(_text(left + LEFT + inner_width / 2, top + HEIGHT - 8, self.x_title))
        x, y = left + 12, top + TOP + inner_height / 2
        parts.append(_text(x, y, self.y_title, more=f'transform="rotate(-90 {x:.1f} {y:.1f})"'))
        for points, colour, dashed, width in self.lines:
            path = " ".join("{:.1f},{:.1f}".format(*at(*point)) for point in points)
            dash = ' stroke-dasharray="4 3"' if dashed else ""
            parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{dash}/>')
        for x, y, text, colour in self.marks:
            x, y = at(x, y)
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
            parts.append(_text(x - 7, y + 4, text, "end", colour))
        return "\n".join(parts)


def figure(panels, legend, columns=2, note=""):
    """legend: (text, colour, dashed)."""
    rows = -(-len(panels) // columns)
    texts = 2 * columns         # of the legend, in a row
    below = 24 * -(-len(legend) // texts) + (18 if note else 0) + 8
    width, height = columns * WIDTH, rows * HEIGHT + below
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
             "<!-- SPDX-License-Identifier: LGPL-2.1-or-later -->"]
    for number, panel in enumerate(panels):
        parts.append(panel.draw(number % columns * WIDTH, number // columns * HEIGHT))
    for number, (text, colour, dashed) in enumerate(legend):
        x, y = 20 + number % texts * (width - 20) / texts, rows * HEIGHT + 12 + 24 * (number // texts)
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        parts.append(f'<line x1="{x:.1f}" y1="{y}" x2="{x + 24:.1f}" y2="{y}" stroke="{colour}" stroke-width="2"{dash}/>')
        parts.append(_text(x + 30, y + 4, text, "start"))
    if note:
        parts.append(_text(20, height - 8, note, "start"))
    parts.append("</svg>")
    return "\n".join(parts) + "\n"
