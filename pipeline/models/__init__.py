"""Models that runs leave: kept with a card, found again, asked about new images, exported."""
