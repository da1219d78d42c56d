"""Placing a lesion: its compartment with probabilities and a reason, its region and side, what else a physician acts on."""
