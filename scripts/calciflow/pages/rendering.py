"""Filling the templates: one self-contained page, everything from outside escaped, nothing loaded from elsewhere."""

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from calciflow.pages.palette import CLASS_DASHES, CLASS_WORDS, COMPARTMENT_COLOURS, RESEARCH_USE, words
from calciflow.pages.tables import missing, number, p_value

DATA_FILES: tuple[str, ...] = (
    "scripts/calciflow/templates/base.html",
    "scripts/calciflow/templates/parts.html",
    "scripts/calciflow/templates/style.css",
    "scripts/calciflow/templates/page.js",
)

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"


def environment() -> Environment:
    """Give the templates' environment: autoescape on, and an undefined name is an error."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    found.filters.update(number=number, p=p_value, words=words)
    found.tests["missing"] = missing
    return found


def render(template: str, **values: Any) -> str:
    """Fill a page's template.

    The page's own script is the only one that a browser will run: its hash stands in the content security policy, which
    also forbids every request to another address.
    """
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    page = environment().get_template(template)
    return page.render(
        script=Markup(script),
        style=Markup(style),
        script_hash=digest,
        research_use=RESEARCH_USE,
        compartment_colours=COMPARTMENT_COLOURS,
        class_words=CLASS_WORDS,
        class_dashes={kind: " ".join(f"{d:g}" for d in dashes) for kind, dashes in CLASS_DASHES.items()},
        **values,
    )
