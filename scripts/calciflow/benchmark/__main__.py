"""``python -m calciflow.benchmark dev|test N``: make the scans, run the workflow, say how wrong it is."""

import argparse
import subprocess
import sys
from pathlib import Path

import pandas as pd

from calciflow.benchmark.figures import causes_figure, confusion_figure, measures_figure, sensitivity_figure
from calciflow.benchmark.reading import compare_scan
from calciflow.benchmark.split import MOST_SCANS, seeds_of
from calciflow.benchmark.study import SESSION, make_study
from calciflow.benchmark.tables import COLUMNS, confusion, markdown, summary
from calciflow.files import write_text
from calciflow.forms import load_form
from calciflow.tables import write_table

REPOSITORY = Path(__file__).resolve().parents[3]
_NOTE = """Deposits that physics hides are listed apart and not counted as missed. Intervals: percentiles of a bootstrap
over people; below 20 people they are too narrow. Measures are of deposits found as one lesion of their own.
"""


def write_results(study: Path, people: list[str], out: Path) -> None:
    """Compare all scans that were finished and write tables and figures; says which were not."""
    form = load_form(REPOSITORY / "config" / "forms" / "extent.yaml")
    done, unfinished = [], []
    for person in people:
        try:
            done.append(compare_scan(study, person, SESSION, form))
        except FileNotFoundError:
            unfinished.append(person)
    if not done:
        raise SystemExit("no scan was finished")
    deposits = pd.concat([one.deposits for one in done], ignore_index=True)
    false = pd.concat([one.false for one in done], ignore_index=True)
    scans = pd.DataFrame([one.scan for one in done])
    rows = summary(deposits, false, scans)
    for name, table in (("deposits", deposits), ("false_positives", false), ("scans", scans)):
        write_table(out / f"{name}.tsv", table.astype(object).where(table.notna(), None), list(table.columns))
    write_table(out / "summary.tsv", rows, COLUMNS)
    head = f"{len(done)} scans, {len(deposits)} deposits; not finished: {', '.join(unfinished) or 'none'}.\n{_NOTE}\n"
    write_text(out / "summary.md", head + markdown(rows))
    if "found_concordance" in deposits:
        for true, found in (
            ("visible_class", "found_concordance"),
            ("compartment", "found_compartment"),
            ("region", "found_region"),
        ):
            table = confusion(deposits, true, found)
            name = found.removeprefix("found_")
            write_table(out / f"confusion_{name}.tsv", table, list(table.columns))
            if len(table):
                confusion_figure(table, out / f"confusion_{name}.svg")
    causes_figure(false, len(scans), out / "false_positives.svg")
    sensitivity_figure(rows, out / "sensitivity.svg")
    measures_figure(deposits, out / "measures.svg")


def main(arguments: list[str] | None = None) -> int:
    """Command line; the exit status is that of the workflow."""
    parser = argparse.ArgumentParser(prog="python -m calciflow.benchmark", description="Measure the workflow's errors.")
    parser.add_argument("split", choices=("dev", "test"))
    parser.add_argument("count", type=int, nargs="?", default=3, help="scans: the first of the split (%(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", help="dev only: the scans of these seeds instead")
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "benchmark", help="where the studies go")
    parser.add_argument("--ideal", action="store_true", help="also write noise-free CT and PET beside the truth")
    options = parser.parse_args(arguments)
    if options.seeds and (options.split != "dev" or not set(options.seeds) <= set(seeds_of("dev", MOST_SCANS))):
        parser.error("--seeds takes seeds of the split dev; the test split is measured whole, never chosen from")
    study = options.folder / options.split
    people = make_study(study, options.seeds or seeds_of(options.split, options.count), options.ideal)
    status = subprocess.run([str(REPOSITORY / "calciflow"), "run", str(study)], check=False).returncode
    out = study / "tables"
    write_results(study, people, out)
    print((out / "summary.md").read_text(encoding="utf-8"))
    return status


if __name__ == "__main__":
    sys.exit(main())
