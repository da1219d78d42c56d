"""Placing a lesion: its compartment with a reason, its region and side, what else a physician acts on."""
