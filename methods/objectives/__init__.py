"""What single methods minimise, beyond a loss of logits and labels."""
