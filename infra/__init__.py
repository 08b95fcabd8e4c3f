"""Everything that opens a socket: settings, database, broker, cache, logs and metrics."""
