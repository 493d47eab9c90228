"""The text encoder made to know one shop: trained on what its users chose together, promoted only if it wins."""
