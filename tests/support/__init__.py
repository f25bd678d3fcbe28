"""What several tests share: small data, tiny runs, programs."""
