"""The whole system in containers, tried by ``make compose-smoke``."""
