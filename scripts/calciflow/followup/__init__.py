"""Lesions of two sessions of one person: which are the same, and what has become of them."""
