"""Networks that several recipes share, and their parts."""
