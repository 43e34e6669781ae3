"""minisora: Sora rebuilt from scratch at laptop scale."""
