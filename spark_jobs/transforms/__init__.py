"""What cleaning does to rows, each transform a function from DataFrame to DataFrame."""
