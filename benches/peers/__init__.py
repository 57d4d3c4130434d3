"""By hand: other trackers beside ours, on the same machine in the same run."""
