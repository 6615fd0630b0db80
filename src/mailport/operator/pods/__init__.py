"""The pods of a gateway: asked what they run, and made to refresh what they mount."""
