"""The description that makes ``results/`` a BIDS derivative."""

from calciflow import __version__
from calciflow.files import write_json


def describe(*, description: str) -> None:
    """Write ``dataset_description.json`` (BIDS 1.10, derivative)."""
    write_json(
        description,
        {
            "Name": "calciflow: calcinosis on 18F-NaF PET/CT",
            "BIDSVersion": "1.10.0",
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "calciflow", "Version": __version__}],
        },
    )
