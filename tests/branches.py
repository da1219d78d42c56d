"""Say how many lines and branches the tests run, and fail where the branches alone are under the bar.

``coverage report --fail-under`` counts lines and branches together, and lines hide branches.
"""

import json
import sys
from pathlib import Path

BAR = 92.0


def figures(totals: dict[str, float]) -> tuple[float, float]:
    """Percent of the lines, and of the branches, that were run."""
    lines = 100 * totals["covered_lines"] / totals["num_statements"]
    return lines, 100 * totals["covered_branches"] / totals["num_branches"]


def main(report: str) -> int:
    """Read ``coverage json`` 's file; the exit status is 1 under the bar."""
    totals = json.loads(Path(report).read_text(encoding="utf-8"))["totals"]
    lines, branches = figures(totals)
    print(
        f"lines {lines:.1f} %, branches {branches:.2f} % ({totals['covered_branches']} of {totals['num_branches']}), "
        f"both together {totals['percent_covered']:.1f} %"
    )
    if branches < BAR:
        print(f"branches are under the bar of {BAR:g} %", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
