"""How wrong the workflow is: random phantoms with known truth, the workflow run on them, results against truth."""
