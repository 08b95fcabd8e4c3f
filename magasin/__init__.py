"""One command that runs the whole system on one machine: servers, processes, demonstration."""
