# SPDX-License-Identifier: Apache-2.0
"""Rows of figures as a table for the terminal, as Markdown, and as a chart in SVG."""

import dataclasses

COLUMNS = ('containers', 'what', 'shieldfs', 'compared with', 'ratio', 'goal', '')


@dataclasses.dataclass
class Row:
    """One number, and what it is compared with."""

    containers: int
    what: str
    value: str  # as it is printed
    against: str
    ratio: float | None = None  # what the goal is for
    goal: float | None = None
    at_least: bool = False  # the goal is the least, not the most
    number: float | None = None  # for the chart of growth

    def met(self):
        if self.goal is None or self.ratio is None:
            return None
        return self.ratio >= self.goal if self.at_least else self.ratio <= self.goal

    def used(self):
        """The share of the goal that is used up: 1 is just what is allowed."""
        return self.goal / max(self.ratio, 1e-9) if self.at_least else self.ratio / self.goal

    def cells(self):
        goal = '' if self.goal is None else f'{"≥" if self.at_least else "≤"} {self.goal:g}'
        ratio = '' if self.ratio is None else f'{self.ratio:.2f}' if self.ratio < 100 else f'{self.ratio:.0f}'
        word = {None: '', True: 'met', False: 'MISSED'}[self.met()]
        return [f'{self.containers:,}', self.what, self.value, self.against, ratio, goal, word]


def time_text(seconds):
    for unit, factor in (('s', 1), ('ms', 1e3), ('µs', 1e6)):
        if seconds * factor >= 1:
            break
    value = seconds * factor
    return f'{value:.0f} {unit}' if value >= 100 else f'{value:.3g} {unit}'


def bytes_text(count):
    for unit, factor in (('GiB', 2**30), ('MiB', 2**20), ('KiB', 2**10)):
        if count >= factor:
            return f'{count / factor:.3g} {unit}' if count < 1000 * factor else f'{count / factor:.0f} {unit}'
    return f'{count:.0f} B'


def table(rows):
    """The rows as text in columns."""
    lines = [list(COLUMNS), *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    right = (0, 4)
    return '\n'.join('  '.join(f'{cell:>{w}}' if i in right else f'{cell:<{w}}'
                               for i, (cell, w) in enumerate(zip(line, widths))).rstrip() for line in lines)


def markdown(header, sections, failures):
    """HEADER: [(word, text)]; SECTIONS: [(name, title, rows)]; FAILURES: [text]."""
    out = ['# shieldfs: benchmark', '', *(f'- {word}: {text}' for word, text in header), '',
           '![The goals, and how it grows](bench.svg)', '']
    for name, title, rows in sections:
        out += [f'## {title} (`{name}`)', '', '| ' + ' | '.join(COLUMNS) + ' |',
                '| ---: | --- | --- | --- | ---: | --- | --- |']
        out += ['| ' + ' | '.join(row.cells()) + ' |' for row in rows] + ['']
    if failures:
        out += ['## Not measured', '', *(f'- {failure}' for failure in failures), '']
    return '\n'.join(out)
