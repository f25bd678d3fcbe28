"""The laboratory's machinery: data -> noise -> encoders -> training -> results."""
