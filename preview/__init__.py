"""The preview: a read-only page on this machine that shows what a run published, user by user and as a whole."""
