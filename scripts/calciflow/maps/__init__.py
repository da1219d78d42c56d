"""Maps of the body that other programs made: read, checked, translated, and put over the built-in ones."""
