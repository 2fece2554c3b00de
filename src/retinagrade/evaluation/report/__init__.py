"""The report: figures as tables, pictures and pages."""
