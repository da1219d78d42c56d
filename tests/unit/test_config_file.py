"""The config: typed, with errors that help, and its generated files are never behind the code."""

import json
from pathlib import Path

import pytest
import yaml

from calciflow.config_file import DEMO, all_keys, commented_yaml, generated, read_config
from calciflow.errors import StudyError
from calciflow.settings import Config

REPOSITORY = Path(__file__).resolve().parents[2]


def test_an_empty_config_is_all_defaults():
    assert read_config({}) == Config()


def test_a_section_whose_keys_are_all_commented_out():
    assert read_config({"suv": None, "lesions": None}) == Config()


def test_the_commented_yaml_says_the_defaults():
    text = commented_yaml({})
    assert read_config(yaml.safe_load(text)) == Config()
    # With every key switched on it says the same: the printed defaults are the code's.
    lines = text.splitlines()
    keys = {key.split(".")[-1] for key in all_keys()}
    switched = [
        line.replace("# ", "", 1) if line.strip().startswith("# ") and line.strip(" #").split(":")[0] in keys else line
        for line in lines
    ]
    content = yaml.safe_load("\n".join(switched))
    sections = {name: value if isinstance(value, dict) and value else {"": 0} for name, value in content.items()}
    given = {f"{name}.{key}" for name, keys in sections.items() for key in keys}
    assert set(all_keys()) <= {name.rstrip(".") for name in given}
    assert read_config(content) == Config()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"suv": {"tracr": "warn"}}, ["unknown key `suv.tracr`", "`suv.tracer`"]),
        ({"lesion": {}}, ["unknown key `lesion`", "`lesions`"]),
        ({"tracer": "warn"}, ["unknown key `tracer`", "`suv.tracer`"]),
        ({"suv": {"tracer": "maybe"}}, ["`suv.tracer`", "'maybe'", "warn"]),
        ({"suv": {"max_uptake_hours": -1}}, ["`suv.max_uptake_hours`", "-1"]),
        ({"allow_incomplete": "perhaps"}, ["`allow_incomplete`", "perhaps"]),
        ({"suv": {"tracr": 1, "max_uptake_hours": "x"}}, ["suv.tracr", "suv.max_uptake_hours"]),
    ],
)
def test_faults(content, says):
    with pytest.raises(StudyError) as caught:
        read_config(content)
    for words in ["config/config.yaml", *says]:
        assert words in str(caught.value)


def test_every_key_has_a_unit_and_a_description():
    for name, field in Config.model_fields.items():
        inner = getattr(type(field.default), "model_fields", {name: field})
        for key, item in inner.items():
            assert item.description, f"{name}.{key}"
            assert item.description.endswith("."), f"{name}.{key}"
            assert (item.json_schema_extra or {}).get("unit"), f"{name}.{key}"


def test_generated_files_are_not_behind_the_code():
    for path, content in generated(REPOSITORY).items():
        assert path.read_text(encoding="utf-8") == content, f"{path.name} is behind the code: run `make config`"


def test_the_schema_knows_the_demo():
    schema = json.loads((REPOSITORY / "config" / "schema.json").read_text())
    assert set(DEMO) <= set(schema["properties"])
    assert schema["additionalProperties"] is False
