"""Questions asked of the results store; nothing here trains or tracks."""
