"""Draw nets, run them here and in the reference (``bvlc`` dialect, float64), and print what differs."""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from tests.plain_caffe.comparison import compared


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.plain_caffe", description=__doc__)
    parser.add_argument("--nets", type=int, default=10000)
    parser.add_argument("--seed", default="1")
    asked = parser.parse_args()
    ends: Counter[str] = Counter()
    for number in range(asked.nets):
        seed = f"{asked.seed}/{number}"
        result = compared(seed)
        ends[result.end] += 1
        if result.differences:
            print(f"{seed}: {'; '.join(result.differences[:4])}")
    print(", ".join(f"{count} {end}" for end, count in sorted(ends.items())))
    return 1 if ends["differ"] else 0


sys.exit(main())
