"""Tables, statistics and figures over all accepted scans (rule cohort)."""

from calciflow.job import logged

with logged(snakemake.log[0], __file__):
    from calciflow.cohort import summarise

    inputs = {key: value or None if key == "clinical_scores" else value for key, value in snakemake.input.items()}
    outputs = {key: value for key, value in snakemake.output.items() if key != "figure_tables"}
    summarise(**inputs, **outputs, **snakemake.params.settings)
