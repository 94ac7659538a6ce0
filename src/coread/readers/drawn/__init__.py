"""What the recipes share whose networks learn areas from drawn pictures alone."""
