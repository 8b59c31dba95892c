#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the test cases of a `meson test` run.

    results.py TESTLOG_JSON...

prints each skipped test with its reason, how many were left out, and `N passed, N failed`, with `, N skipped` if
there were any. A case is what the program that ran says it is: a line of TAP, a test of pytest; a program that
counts nothing is one case. The exit status is 0 only if nothing failed and something passed.
"""

import json
import re
import sys

TAP_LINE = re.compile(r"^(?P<indent> *)(?P<not>not )?ok\b(?P<rest>.*)$")
TAP_PLAN = re.compile(r"^(?P<indent> *)1\.\.\d+")
TAP_DIRECTIVE = re.compile(r"#\s*(SKIP|TODO)\b", re.IGNORECASE)
PYTEST_END = re.compile(r"^=* ?(?P<counts>\d+ [a-z]+(?:, \d+ [a-z]+)*) in [\d.]+s\b", re.MULTILINE)
PYTEST_SKIPPED = re.compile(r"^SKIPPED \[\d+\] (?P<what>.*)$", re.MULTILINE)
LEFT_OUT = re.compile(r"^(\d+) need root$", re.MULTILINE)
TAP_SKIPPED = re.compile(r"^ *(?:not )?ok\b(?P<what>.*#\s*SKIP.*)$", re.MULTILINE | re.IGNORECASE)
PYTEST_WORD = {"passed": 0, "failed": 1, "error": 1, "errors": 1, "xpassed": 1, "skipped": 2, "xfailed": 2}


def count_tap(text):
    """Passed, failed and skipped leaves: a line that sums up subtests is not a case of its own."""
    counts = [0, 0, 0]
    deepest = 0
    for line in text.splitlines():
        found = TAP_LINE.match(line) or TAP_PLAN.match(line)
        if not found:
            continue
        indent = len(found["indent"])
        sums_up = indent < deepest
        deepest = indent
        if found.re is TAP_PLAN or sums_up:
            continue
        if TAP_DIRECTIVE.search(found["rest"]):
            counts[2] += 1
        else:
            counts[1 if found["not"] else 0] += 1
    return counts


def count_pytest(text):
    counts = [0, 0, 0]
    ends = PYTEST_END.findall(text)
    for part in ends[-1].split(", ") if ends else ():
        number, word = part.split()
        if word in PYTEST_WORD:
            counts[PYTEST_WORD[word]] += int(number)
    return counts


def count_test(test):
    """The cases of one of meson's tests, in line with the verdict that meson gave."""
    output = test.get("stdout") or ""
    counts = count_pytest(output)
    if not any(counts):
        counts = count_tap(output)
    result = test["result"]
    if result in ("OK", "EXPECTEDFAIL"):
        if not any(counts) and not PYTEST_END.search(output):  # pytest may have left out every test
            counts[0] = 1
    elif result == "SKIP":
        if counts[2] == 0:
            counts[2] = 1
    elif counts[1] == 0:  # a crash, a timeout, a plan that was not kept
        counts[1] = 1
    return counts


def skips(test):
    """Which cases of one of meson's tests were skipped, and why."""
    output = test.get("stdout") or ""
    found = PYTEST_SKIPPED.findall(output) + TAP_SKIPPED.findall(output)
    if not found and test["result"] == "SKIP":
        found = ["all of it"]
    return [f"skipped: {test['name']}: {what.strip()}" for what in found]


def main(paths):
    total = [0, 0, 0]
    skipped_ones, left_out = [], 0
    for path in paths:
        with open(path, encoding="utf-8") as log:
            for line in log:
                test = json.loads(line)
                total = [a + b for a, b in zip(total, count_test(test))]
                skipped_ones += skips(test)
                left_out += sum(map(int, LEFT_OUT.findall(test.get("stdout") or "")))
    passed, failed, skipped = total
    for text in skipped_ones:
        print(text)
    if left_out:
        print(f"not run: {left_out} need root")
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
