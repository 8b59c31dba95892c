# SPDX-License-Identifier: Apache-2.0
"""The chart, in SVG: how much of each goal is used, and what grows with the number of containers."""

import html
import math

WIDTH, LABEL, BAR = 960, 470, 330
GOOD, BAD, LINE, TEXT = '#3a7d44', '#b3382c', '#888', '#222'
COLOURS = ('#2b5c8a', '#c77d1e', '#5b3a8c', '#2a8c82', '#8a2b4f')
LEAST = 0.1  # the share of a goal where the bars begin


def text(x, y, words, size=12, anchor='start', fill=TEXT):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{fill}">'
            f'{html.escape(words)}</text>')


def line(x1, y1, x2, y2, stroke=LINE, dash=''):
    dashed = f' stroke-dasharray="{dash}"' if dash else ''
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}"{dashed}/>'


def goals(rows, top):
    """A bar for each row with a goal, as a share of what is allowed; a tenth has none."""
    out, y = [text(16, top, 'Goals: how much of each is used (logarithmic; the dashed line is the goal)', 15)], top + 24
    first = y - 12
    scale = BAR / math.log(max([row.used() for row in rows] + [2]) / LEAST)
    goal_at = LABEL + scale * math.log(1 / LEAST)
    for row in rows:
        length = scale * math.log(max(row.used(), LEAST) / LEAST)
        compared = row.against.split(':')[0] if 'floor' in row.against else ''
        label = f'{row.containers:,}: {row.what}' + (f' / {compared}' if compared else '')
        out.append(text(LABEL - 8, y, label, 11, 'end'))
        out.append(f'<rect x="{LABEL}" y="{y - 10}" width="{length:.1f}" height="12" fill="{GOOD if row.met() else BAD}"/>')
        _, _, _, _, ratio, goal, _ = row.cells()
        out.append(text(max(LABEL + length, goal_at) + 8, y, f'{ratio} ({goal})', 11))
        y += 18
    out.append(line(goal_at, first, goal_at, y - 12, TEXT, '4 3'))
    return (out, y + 10) if rows else ([], top)


def growth(rows, top):
    """Each kind of row that has numbers, over the number of containers; relative to its first, both logarithmic."""
    series = {}
    for row in rows:
        series.setdefault(row.what, []).append((row.containers, row.number, row.value))
    series = {what: points for what, points in series.items() if len(points) > 1}
    if not series:
        return [], top
    counts = sorted({c for points in series.values() for c, *_ in points})
    most = max(n / points[0][1] for points in series.values() for _, n, _ in points)
    left, width, height = 70, 480, 260
    bottom = top + 40 + height
    decades = max(1, math.ceil(math.log10(max(most, counts[-1] / counts[0]))))

    def place(count, factor):
        x = left + width * math.log(count / counts[0]) / math.log(counts[-1] / counts[0])
        return x, bottom - height * max(0, math.log10(factor)) / decades

    out = [text(16, top + 12, f'Growth: times the value at {counts[0]} containers (dashed: in proportion)', 15)]
    for exponent in range(decades + 1):
        y = bottom - height * exponent / decades
        out += [line(left, y, left + width, y, '#ddd'), text(left - 8, y + 4, f'× {10 ** exponent:,}', 11, 'end')]
    for count in counts:
        out.append(text(place(count, 1)[0], bottom + 18, f'{count:,}', 11, 'middle'))
    ends = place(counts[-1], counts[-1] / counts[0])
    out.append(line(left, bottom, *ends, dash='5 4'))
    for i, (what, points) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        spots = [place(c, n / points[0][1]) for c, n, _ in points]
        joined = ' '.join(f'{x:.1f},{y:.1f}' for x, y in spots)
        out.append(f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in spots]
        y = top + 52 + 38 * i
        out += [f'<rect x="580" y="{y - 9}" width="12" height="12" fill="{colour}"/>', text(600, y + 1, what, 11),
                text(600, y + 15, ' → '.join(v for *_, v in points), 11, fill='#666')]
    return out, bottom + 40


def chart(rows):
    parts, y = goals([row for row in rows if row.met() is not None], 28)
    more, y = growth([row for row in rows if row.number], y)
    return '\n'.join([f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" '
                      f'viewBox="0 0 {WIDTH} {y}" font-family="sans-serif">',
                      '<!-- SPDX-License-Identifier: Apache-2.0 -->',
                      f'<rect width="{WIDTH}" height="{y}" fill="#fff"/>', *parts, *more, '</svg>', ''])
