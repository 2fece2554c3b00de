"""Grading over HTTP, and a page that does it. Needs the extra ``serve``; nothing is written to disk."""
