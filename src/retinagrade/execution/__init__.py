"""Execution of work in parallel, on this machine or on a Ray cluster, with progress and a journal."""
