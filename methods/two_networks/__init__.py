"""What methods of two networks share: the networks, what they leave out, how they divide."""
