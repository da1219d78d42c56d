"""From the scans' tables to the cohort's: people, clinical scores, comparisons, figures."""
