"""The one place that opens connections outward: which addresses are allowed, pools, the breaker."""
