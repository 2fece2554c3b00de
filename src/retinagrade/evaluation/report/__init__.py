"""The report of an evaluation: metrics as tables, pictures and pages."""
