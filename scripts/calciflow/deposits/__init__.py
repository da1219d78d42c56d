"""Finding deposits on CT and foci on PET, matching them, and telling what is no lesion."""
