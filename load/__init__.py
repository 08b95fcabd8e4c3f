"""How much does a whole deployment carry, for every way of sharing out the requests? `make load-test` asks."""
