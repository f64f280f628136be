"""Who takes the money: the protocol every provider keeps, and the providers."""
