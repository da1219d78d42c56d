def words_of_sheets():
    """What the user chose to stand in results: labels, sessions, groups, named covariates, reasons of exclusion."""
    chosen = {
        word
        for scan in SCANS.values()
        for word in (*scan.identity.values(), scan.exclude)
        if word
    }
    columns = ("group", *SETTINGS.cohort.covariates)
    return sorted(
        chosen
        | {person.get(name, "") for person in PEOPLE.values() for name in columns}
    )


def identifier_lists():
    """The private lists of identifiers that index made, of all enrolled scans."""
    return [
        f"private/{scan.participant_id}/{scan.session_id}/{prefix}_identifiers.json"
        for prefix, scan in ENROLLED.items()
    ]


def audit_what_is_there():
    from calciflow.audit import audit_study

    lists = [path for path in identifier_lists() if Path(path).exists()]
    labels = words_of_sheets()
    try:
        audit_study(
            identifiers=lists,
            told=None,
            private="private/audit.tsv",
            labels=labels,
            ignore=SETTINGS.audit.ignore,
        )
    except StudyError as error:
        logger.error(str(error))


# Last of all: searches results and logs for what identifies the people in the sources, and fails if it finds any.
rule audit:
    input:
        every_scan_file,
        "results/dataset_description.json",
        "results/report.html",
        identifiers=identifier_lists(),
    output:
        told="results/audit.json",
    log:
        "logs/audit.log",
    conda:
        "../envs/calciflow.yaml"
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        code=code("audit.py"),
        labels=words_of_sheets(),
        ignore=SETTINGS.audit.ignore,
        private="private/audit.tsv",
    message:
        "searching results and logs for identifiers"
    script:
        "../scripts/audit.py"
