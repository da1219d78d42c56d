"""``python -m calciflow.implant STUDY SOURCE ...``: put deposits into a site's own scans and measure the workflow."""

import argparse
import subprocess
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from calciflow.benchmark.__main__ import REPOSITORY, write_results
from calciflow.benchmark.study import SESSION
from calciflow.errors import Refusal
from calciflow.files import write_text
from calciflow.fingerprint import fingerprint
from calciflow.implant.host import read_host
from calciflow.implant.make import implant, write_implants
from calciflow.implant.wishes import draw_wishes, soft_regions
from calciflow.tables import write_table

_OVERRIDES = ("weight_kg", "height_m", "injected_dose_mbq", "injection_datetime")
_NOTE = """Deposits of known truth in real scans. What else was found in a host is listed under false positives, whether
it is false or the person's own: nobody knows. Dice has no truth here; PET to CT is how far the registration moved the
implants, which lie in one place. Compartments were chosen by the workflow's own tissue map where it is sure.

"""


def make_study(
    study: Path, sources: Sequence[str], count: int, seed: int, overrides: dict[str, Any], options: dict[str, Any]
) -> list[str]:
    """Write DICOM, truth and sheets of a study with implants; gives the participant ids, one a source.

    What is there already from the same source, code and options is kept. A source that cannot take implants is left
    out and said.
    """
    code = fingerprint(Path(__file__), Path(__file__).resolve().parents[2])
    people = []
    for number, source in enumerate(sources, 1):
        person = f"sub-{number:02d}"
        own = seed + zlib.crc32(Path(source).name.encode()) % 100_000
        mark = study / "truth" / person / "complete.txt"
        given = f"{count} {own} {sorted(overrides.items())} {sorted(options.items())}"
        state = f"{code}\n{Path(source).resolve()}\n{given}\n"
        if mark.is_file() and mark.read_text(encoding="utf-8") == state:
            people.append(person)
            continue
        try:
            host = read_host(source, overrides=overrides, **options)
        except (Refusal, ValueError) as error:
            print(f"{source}: left out: {error}", flush=True)
            continue
        rng = np.random.default_rng([own, 31])
        made = implant(host, draw_wishes(rng, soft_regions(host.tissues, host.regions, host.ct.voxel_ml), count), own)
        write_implants(made, study / "dicom" / person, study / "truth" / person, person)
        write_text(mark, state)
        people.append(person)
        print(f"{person}: {len(made.table)} deposits, {made.no_room} found no room ({source})", flush=True)
    write_text(study / "config" / "config.yaml", "participants: config/participants.tsv\nscans: config/scans.tsv\n")
    sheet = [{"participant_id": p, "group": "implants"} for p in people]
    write_table(study / "config" / "participants.tsv", sheet, ("participant_id", "group"))
    rows = [{"participant_id": p, "session_id": SESSION, "source": f"dicom/{p}", **overrides} for p in people]
    write_table(study / "config" / "scans.tsv", rows, ("participant_id", "session_id", "source", *overrides))
    return people


def main(arguments: list[str] | None = None) -> int:
    """Command line; the exit status is that of the workflow."""
    parser = argparse.ArgumentParser(
        prog="python -m calciflow.implant",
        description="Put simulated deposits of known truth into real PET/CT scans, run the workflow on them, and say "
        "how wrong it is. The DICOM that is written keeps the patient's identity: treat it as you treat the source.",
    )
    parser.add_argument("study", type=Path, help="folder to write: dicom/, truth/, config/, results/, tables/")
    parser.add_argument("source", nargs="+", help="DICOM folder or archive of one examination each")
    parser.add_argument("--count", type=int, default=14, help="deposits wished for in each scan (14)")
    parser.add_argument("--seed", type=int, default=0, help="of places, sizes and noise (0)")
    parser.add_argument("--ct-fwhm-mm", type=float, help="in-plane resolution of the CT; else estimated")
    parser.add_argument("--pet-fwhm-mm", type=float, help="resolution of the PET; else estimated")
    parser.add_argument("--tissues", help="tissue map on the CT's grid (labels of the workflow), with --regions")
    parser.add_argument("--regions", help="region map on the CT's grid")
    for name in _OVERRIDES:
        kind = str if name == "injection_datetime" else float
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, help=f"{name} of scans.tsv, for all sources")
    parser.add_argument("--no-run", action="store_true", help="only write DICOM, truth and sheets")
    chosen = parser.parse_args(arguments)
    if (chosen.tissues is None) != (chosen.regions is None):
        parser.error("--tissues and --regions belong together")
    overrides = {name: getattr(chosen, name) for name in _OVERRIDES if getattr(chosen, name) is not None}
    options = {name: getattr(chosen, name) for name in ("ct_fwhm_mm", "pet_fwhm_mm", "tissues", "regions")}
    people = make_study(chosen.study, chosen.source, chosen.count, chosen.seed, overrides, options)
    if not people:
        print("no source could take implants", file=sys.stderr)
        return 1
    if chosen.no_run:
        return 0
    status = subprocess.run([str(REPOSITORY / "calciflow"), "run", str(chosen.study)], check=False).returncode
    out = chosen.study / "tables"
    write_results(chosen.study, people, out)
    text = (out / "summary.md").read_text(encoding="utf-8")
    write_text(out / "summary.md", _NOTE + text)
    print(_NOTE + text)
    return status


if __name__ == "__main__":
    sys.exit(main())
