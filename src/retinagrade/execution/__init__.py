"""Execution: how work runs in parallel, on this machine or on a Ray cluster, and how far it is."""
