"""The simulated shop."""
