"""The stock rule (pure) and the stock store: what is on hand, and how facts move it."""
