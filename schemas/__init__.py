"""What crosses a process border and is no fact: the envelope, requests and answers."""
