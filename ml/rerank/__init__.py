"""From a user's best candidates to the list shown: rules, variety, caps, long tail, exploration; with a trail."""
