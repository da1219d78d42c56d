"""Time and memory of ``cohort`` and ``report`` over many scans: ``cohort_scale.py STUDY [SCANS]``.

The tables of a study that has run are handed out again and again under new names, with volumes and scores changed a
little (three sessions a person).
"""

import json
import random
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from calciflow.cohort import summarise
from calciflow.report import write_report
from calciflow.settings import Config

COPIED = ("lesions.tsv", "scores.tsv", "desc-candidates_lesions.json", "desc-review_lesions.tsv")
COPIED += ("desc-review_lesions.json", "screening.json", "desc-suvbw_pet.json", "from-pet_to-ct_xfm.json")
LINKED = ("mip.png", "qc.html")
FIGURES = ("scores", "agreement", "burden", "regions", "uptake")


def multiply(study: Path, target: Path, count: int) -> list[tuple[str, str]]:
    """Hand out a study's tables under new names; gives the scans."""
    screening = pd.read_csv(study / "results" / "screening.tsv", sep="\t", dtype=str, keep_default_na=False)
    rows = screening[screening["verdict"] == "accepted"]
    random.seed(0)
    scans, new_rows = [], []
    for number in range(count):
        sub, ses = f"sub-{number // 3:05}", f"ses-{number % 3 + 1}"
        row = rows.iloc[number % len(rows)]
        old_sub, old_ses = row["participant_id"], row["session_id"]
        old = study / "results" / old_sub / old_ses
        new = target / "results" / sub / ses
        new.mkdir(parents=True)
        for name in COPIED:
            text = (old / f"{old_sub}_{old_ses}_{name}").read_text().replace(old_sub, sub).replace(old_ses, ses)
            (new / f"{sub}_{ses}_{name}").write_text(text)
        for name in LINKED:
            shutil.copy(old / f"{old_sub}_{old_ses}_{name}", new / f"{sub}_{ses}_{name}")
        table = pd.read_csv(new / f"{sub}_{ses}_lesions.tsv", sep="\t", dtype=str, keep_default_na=False)
        for column in ("ct_volume_ml", "tlf", "suv_max"):
            table[column] = [
                value if value == "n/a" else f"{float(value) * random.uniform(0.5, 2):.4g}" for value in table[column]
            ]
        table.to_csv(new / f"{sub}_{ses}_lesions.tsv", sep="\t", index=False)
        scans.append((sub, ses))
        new_rows.append({**row, "participant_id": sub, "session_id": ses})
    pd.DataFrame(new_rows).to_csv(target / "results" / "screening.tsv", sep="\t", index=False)
    people = "".join(f"{sub}\t{random.choice(['DM', 'SSc'])}\n" for sub in sorted({sub for sub, _ in scans}))
    (target / "participants.tsv").write_text("participant_id\tgroup\n" + people)
    return scans


def run(target: Path, scans: list[tuple[str, str]]) -> dict[str, float]:
    """Run both stages; gives seconds (CPU) of each, peak memory and the page's size in MB."""
    results = target / "results"
    cohort = results / "cohort"
    (cohort / "figures").mkdir(parents=True)

    def each(name: str) -> list[str]:
        return [str(results / sub / ses / f"{sub}_{ses}_{name}") for sub, ses in scans]

    figures = [str(cohort / "figures" / f"{name}.svg") for name in FIGURES]
    settings = Config().model_dump(mode="json")
    tables = {name: str(cohort / f"{name}.tsv") for name in ("lesions", "scores", "participants", "statistics")}
    tables["comparison"] = str(cohort / "comparison.tsv")
    start = time.process_time()
    summarise(
        screening=str(results / "screening.tsv"),
        tables=each("lesions.tsv"),
        scores=each("scores.tsv"),
        findings=each("desc-candidates_lesions.json"),
        participants=str(target / "participants.tsv"),
        clinical_scores=None,
        **{f"{name}_out": path for name, path in tables.items()},
        figures=figures,
        **settings["cohort"],
    )
    middle = time.process_time()
    write_report(
        screening=str(results / "screening.tsv"),
        **tables,
        figures=figures,
        figure_tables=[path.replace(".svg", ".tsv") for path in figures],
        mips=each("mip.png"),
        pages=each("qc.html"),
        findings=each("desc-candidates_lesions.json"),
        records=each("desc-review_lesions.tsv"),
        reviews=each("desc-review_lesions.json"),
        screenings=each("screening.json"),
        suv=each("desc-suvbw_pet.json"),
        registrations=each("from-pet_to-ct_xfm.json"),
        page=str(results / "report.html"),
        parameters=settings,
    )
    end = time.process_time()
    return {
        "cohort_s": middle - start,
        "report_s": end - middle,
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "page_mb": (results / "report.html").stat().st_size / 1e6,
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        chosen = multiply(Path(sys.argv[1]), Path(folder), int(sys.argv[2]) if len(sys.argv) > 2 else 3000)
        print(json.dumps(run(Path(folder), chosen)))
