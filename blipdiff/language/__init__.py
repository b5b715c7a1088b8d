"""What a photo shows, asked in words: engines that answer, caption and match, and where they looked."""
