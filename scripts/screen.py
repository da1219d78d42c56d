"""Who is accepted, who is refused and why (rule screen)."""

from calciflow.job import logged

with logged(snakemake.log[0], __file__):
    from calciflow.screen import screen_scans

    screen_scans(
        screenings=list(snakemake.input.screenings), table=snakemake.output.table, scans=snakemake.params.scans
    )
