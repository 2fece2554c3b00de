"""Grading over HTTP, and a web page for it. Needs the extra ``serve``; nothing is written to disk."""
