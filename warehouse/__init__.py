"""Where data goes: one DuckDB file for BI, replaced whole, a projection of the lake's published history."""
