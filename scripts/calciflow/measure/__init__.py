"""Measures of deposits and foci: volume, mass, uptake, detection limit, spill from bone, shape."""
