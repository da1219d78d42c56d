"""``python -m calciflow.phantom SPEC.yaml OUT --seed N``: one phantom's DICOM and truth from a small yaml."""

import argparse
import sys
from pathlib import Path

from calciflow.phantom.dicom_writer import write_dicom
from calciflow.phantom.scan import make_scan
from calciflow.phantom.spec import load_spec
from calciflow.phantom.truth import write_truth


def main(arguments: list[str] | None = None) -> int:
    """Command line. An unknown key or word in the yaml is an error that names it."""
    parser = argparse.ArgumentParser(prog="python -m calciflow.phantom", description="Make a phantom from a yaml.")
    parser.add_argument("spec", type=Path, help="yaml, see ScanSpec in scripts/calciflow/phantom/spec.py")
    parser.add_argument("out", type=Path, help="folder for dicom/ and truth/")
    parser.add_argument("--seed", type=int, default=1, help="the same yaml and seed give the same voxels")
    parser.add_argument("--ideal", action="store_true", help="also write noise-free CT and PET beside the truth")
    parser.add_argument("--strict", action="store_true", help="stop if a deposit has no room where it is wanted")
    options = parser.parse_args(arguments)
    try:
        spec = load_spec(options.spec)
    except (ValueError, TypeError) as error:
        parser.error(f"{options.spec.name}: {error}")
    scan = make_scan(spec, options.seed, strict=options.strict)
    write_dicom(scan, options.out / "dicom")
    write_truth(scan, options.out / "truth", options.ideal)
    wanted = sum(one.count for one in spec.deposits)
    print(f"{len(scan.table)} of {wanted} deposits, {len(scan.trap_table)} objects of traps, in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
