"""Dry run of a large study beside a bare skeleton of as many jobs: ``python tests/benchmark/scale.py [SCANS]``.

Both studies are made up: every result is an empty file, newer than what it is made of. The skeleton has the same rules,
files and checkpoint, and nothing else: no sheets, fingerprints, params or resources. Measured are a run that finds
nothing to do and a dry run that finds everything to do behind the checkpoint, in turn.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CHAIN = {
    "index": ([], ["series.tsv", "screening.json", "selection.json"]),
    "convert_ct": (["selection.json"], ["ct.nii.gz", "ct.json"]),
    "convert_pet": (["selection.json"], ["pet.nii.gz", "pet.json"]),
    "suv": (["selection.json", "pet.nii.gz", "pet.json"], ["desc-suvbw_pet.nii.gz", "desc-suvbw_pet.json"]),
    "tissues": (
        ["ct.nii.gz", "ct.json"],
        [
            "space-ct_desc-tissues_dseg.nii.gz",
            "space-ct_desc-tissues_dseg.tsv",
            "space-ct_desc-regions_dseg.nii.gz",
            "space-ct_desc-regions_dseg.tsv",
            "space-ct_desc-tissues.json",
        ],
    ),
    "register": (
        ["ct.nii.gz", "desc-suvbw_pet.nii.gz", "space-ct_desc-tissues_dseg.nii.gz"],
        ["from-pet_to-ct_xfm.tfm", "from-pet_to-ct_xfm.json", "from-pet_to-ct_xfm.nii.gz"],
    ),
    "lesions": (
        [
            "ct.nii.gz",
            "desc-suvbw_pet.nii.gz",
            "space-ct_desc-tissues_dseg.nii.gz",
            "space-ct_desc-regions_dseg.nii.gz",
            "from-pet_to-ct_xfm.tfm",
            "from-pet_to-ct_xfm.nii.gz",
        ],
        ["space-ct_desc-candidates_dseg.nii.gz", "desc-candidates_lesions.tsv", "desc-candidates_lesions.json"],
    ),
    "compartments": (
        ["desc-candidates_lesions.tsv", "space-ct_desc-tissues_dseg.nii.gz"],
        ["desc-machine_lesions.tsv"],
    ),
    "review": (
        ["space-ct_desc-candidates_dseg.nii.gz", "desc-machine_lesions.tsv", "desc-candidates_lesions.json"],
        [
            "space-ct_desc-lesions_dseg.nii.gz",
            "lesions.tsv",
            "desc-review_lesions.tsv",
            "desc-review_lesions.json",
        ],
    ),
    "scores": (["lesions.tsv"], ["scores.tsv"]),
    "qc": (
        ["ct.nii.gz", "desc-suvbw_pet.nii.gz", "lesions.tsv", "scores.tsv", "space-ct_desc-lesions_dseg.nii.gz"],
        ["qc.html", "mip.png"],
    ),
}
"""Inputs and outputs of a scan's rules."""
ASKED = ("ct.nii.gz", "pet.nii.gz", "desc-suvbw_pet.nii.gz", "lesions.tsv", "scores.tsv", "qc.html")


@dataclass(frozen=True)
class Cost:
    """What one run of Snakemake took."""

    seconds: float
    memory_mb: float


def scans_of(count: int) -> list[tuple[str, str]]:
    """Participants with three sessions each."""
    return [(f"sub-{number // 3:04}", f"ses-{number % 3 + 1}") for number in range(count)]


def path_of(sub: str, ses: str, name: str) -> str:
    """A scan's file."""
    root = "private" if name == "selection.json" else "results"
    return f"{root}/{sub}/{ses}/{sub}_{ses}_{name}"


def make_study(folder: Path, count: int) -> None:
    """A study whose results are all there, as empty files."""
    scans = scans_of(count)
    (folder / "config").mkdir(parents=True)
    (folder / "scans").mkdir()
    rows = "".join(f"{sub}\t{ses}\tscans\n" for sub, ses in scans)
    (folder / "config" / "scans.tsv").write_text("participant_id\tsession_id\tsource\n" + rows)
    people = "".join(f"{sub}\t{'DM' if int(sub[4:]) % 2 else 'SSc'}\n" for sub in sorted({sub for sub, _ in scans}))
    (folder / "config" / "participants.tsv").write_text("participant_id\tgroup\n" + people)
    (folder / "config" / "config.yaml").write_text("allow_incomplete: false\n")
    start = time.time() - 100_000
    for sub, ses in scans:
        for step, (_, outputs) in enumerate(CHAIN.values()):
            for name in outputs:
                path = folder / path_of(sub, ses, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
                os.utime(path, (start + 100 * step, start + 100 * step))
    table = "participant_id\tsession_id\tacquisition\tverdict\tcode\treason\n"
    table += "".join(f"{sub}\t{ses}\tn/a\taccepted\tn/a\tn/a\n" for sub, ses in scans)
    (folder / "results" / "screening.tsv").write_text(table)
    os.utime(folder / "results" / "screening.tsv", (start + 50, start + 50))
    for name in ("participants.tsv", "scans.tsv", "config.yaml"):
        os.utime(folder / "config" / name, (start - 100, start - 100))


def skeleton(count: int) -> str:
    """Text of the bare Snakefile."""
    lines = ["import csv", f"SCANS = {scans_of(count)!r}", ""]
    lines += ["def found(names):", "    def paths(wildcards):"]
    lines += ["        with open(checkpoints.screen.get().output[0]) as handle:"]
    lines += ["            rows = list(csv.DictReader(handle, delimiter='\\t'))"]
    lines += ["        scans = [(row['participant_id'], row['session_id']) for row in rows]"]
    lines += ["        return [f'results/{sub}/{ses}/{sub}_{ses}_{name}' for sub, ses in scans for name in names]"]
    lines += ["    return paths", "", "wildcard_constraints:"]
    lines += ["    sub='sub-[0-9]+',", "    ses='ses-[0-9]+',", "    scan='sub-[0-9]+_ses-[0-9]+',", ""]
    lines += ["rule all:", "    input:", f"        found({ASKED!r}),", "        'results/cohort.tsv',", ""]
    for name, (inputs, outputs) in CHAIN.items():
        lines += [f"rule {name}:"]
        for word, names in (("input", inputs), ("output", outputs)):
            if names:
                lines += [f"    {word}:"]
                lines += [
                    f"        '{'private' if one == 'selection.json' else 'results'}/{{sub}}/{{ses}}/{{scan}}_{one}',"
                    for one in names
                ]
        lines += ["    shell:", "        'touch {output}'", ""]
    lines += ["checkpoint screen:", "    input:"]
    lines += ["        [f'results/{sub}/{ses}/{sub}_{ses}_screening.json' for sub, ses in SCANS],"]
    lines += ["    output:", "        'results/screening.tsv',", "    shell:", "        'touch {output}'", ""]
    lines += ["rule cohort:", "    input:", "        'results/screening.tsv',"]
    lines += ["        found(('lesions.tsv', 'scores.tsv', 'desc-candidates_lesions.json')),"]
    lines += ["    output:", "        'results/cohort.tsv',", "    shell:", "        'touch {output}'"]
    return "\n".join(lines) + "\n"


def dry_run(snakefile: Path, folder: Path, *options: str) -> Cost:
    """Time and peak memory of a dry run."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--directory", str(folder)]
    command += ["--workflow-profile", str(REPOSITORY / "profiles" / "default"), "--dry-run", "--quiet", "all", *options]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    code = "import resource, subprocess, sys; status = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL); "
    code += "print(resource.getrusage(resource.RUSAGE_CHILDREN)); sys.exit(status)"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code, *command], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # CPU time: the same on a machine that is busy with something else.
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    peak = int(done.stdout.split("ru_maxrss=")[1].split(",")[0]) / 1024
    return Cost(seconds, peak)


def compare(count: int, root: Path) -> dict[str, tuple[Cost, Cost]]:
    """Costs of the workflow and of the skeleton, for nothing to be done and for everything behind the checkpoint."""
    study = root / "study"
    make_study(study, count)
    bare = root / "Snakefile"
    bare.write_text(skeleton(count))
    found = {}
    for what, options in (("nothing to do", ()), ("everything to do", ("--forcerun", "convert"))):
        bare_options = tuple("convert_ct" if word == "convert" else word for word in options)
        bare_options += ("convert_pet",) if options else ()
        found[what] = (dry_run(REPOSITORY / "Snakefile", study, *options), dry_run(bare, study, *bare_options))
    return found


def main() -> None:
    """Print the comparison."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    with tempfile.TemporaryDirectory() as folder:
        for what, (ours, bare) in compare(count, Path(folder)).items():
            for who, cost in (("calciflow", ours), ("skeleton", bare)):
                print(f"{count} scans, {what}: {who} {cost.seconds:.1f} s, {cost.memory_mb:.0f} MB")
            print(f"ratio {ours.seconds / bare.seconds:.2f} of time, {ours.memory_mb / bare.memory_mb:.2f} of memory")


if __name__ == "__main__":
    main()
