"""Home page and similar-item lists: an additive blend of sources that need no training."""
