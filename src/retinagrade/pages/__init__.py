"""HTML pages: the one look that all reports share."""
