"""Printed tables, verbatim: one CSV file each, every cell as the document shows it."""
