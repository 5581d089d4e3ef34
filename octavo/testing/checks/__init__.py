"""The contract's tests, by the part of the protocol that they are about."""
