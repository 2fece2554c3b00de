"""HTML pages: the template that all reports have in common."""
