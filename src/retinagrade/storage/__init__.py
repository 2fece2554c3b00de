"""Storage: files, paths and object stores, locks, the guard of outputs, and what the system can refuse."""
