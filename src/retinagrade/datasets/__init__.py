"""Data sets: one reader a public layout, and what happens to photographs before a network sees them."""
