"""The home page of each user: modules in the order of what they are worth to that user."""
