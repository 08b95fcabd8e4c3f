"""How the database came to look as it does: numbered steps, never changed once they are merged."""
