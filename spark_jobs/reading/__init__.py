"""Reading raw files row by row: every row comes out, the broken ones with the reason why they are."""
