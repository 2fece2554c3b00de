"""Results: the gradings of photographs and studies, and their tables."""
