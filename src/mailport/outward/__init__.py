"""Outgoing connections: which addresses are allowed, TLS, pools, the circuit breaker, HTTP."""
