"""What was seen and done, as status, Events and metrics."""
