"""Portraits: what is believed of users, segments and items, how surely, and on what evidence."""
