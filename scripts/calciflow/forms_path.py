"""Where a scoring form is found: in the study, then in the repository."""

from pathlib import Path

from calciflow.errors import StudyError


def find_form(name: str, study: Path, repository: Path) -> str:
    """Find a form by its name or by its path.

    Parameters
    ----------
    name
        ``extent`` for ``config/forms/extent.yaml``, or a path relative to the study.

    Returns
    -------
    str
        Relative to the study where the form lies in it, otherwise absolute.
    """
    places = [Path(name)] if name.endswith((".yaml", ".yml")) else [Path("config/forms") / f"{name}.yaml"]
    for place in places:
        if (study / place).is_file():
            return str(place)
        if (repository / place).is_file():
            return str(repository / place)
    shipped = sorted(path.stem for path in (repository / "config" / "forms").glob("*.yaml"))
    raise StudyError(
        f"config key `scores.form`: there is no form `{name}` in the study's config/forms. Put {places[0]} there, or "
        f"name one of the forms that come with calciflow: {', '.join(shipped)}."
    )


def form_of_job(name: str, shim: str) -> str:
    """Find a form from inside a job: the study is where it runs, the repository where its shim lies.

    The rule tracks the form's content; its path would make a clone at another place rerun all scores.
    """
    return find_form(name, Path.cwd(), Path(shim).resolve().parent.parent)
