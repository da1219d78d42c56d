"""A person's edits of the machine's lesions: their sheet, their mask, and what they do to the tables."""
