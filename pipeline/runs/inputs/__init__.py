"""What a run learns from: data sets and label tables, encoders, and how images are split."""
