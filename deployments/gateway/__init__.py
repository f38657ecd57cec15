"""The gateway: documentation, health, metrics, public keys; whatever no longer prefix takes."""
