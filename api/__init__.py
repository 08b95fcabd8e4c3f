"""PROCESS: HTTP in; remembers nothing."""
