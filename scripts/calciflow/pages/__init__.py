"""What the pages for people are made of: pictures, tables, methods and readings."""
