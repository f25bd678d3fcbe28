"""The page of the report: what it shows, as plain data, and the charts that show it."""
