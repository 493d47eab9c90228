"""What analysts look at: Superset's dashboard as files, its start on this machine, example queries."""
