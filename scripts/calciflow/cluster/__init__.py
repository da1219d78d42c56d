"""Runs on Slurm: what a site has, leftovers of a killed run, a watch over the queue. Used by the launcher alone."""
