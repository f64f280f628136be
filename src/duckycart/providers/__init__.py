"""Who takes the money: the protocol that every provider keeps, and the providers."""
