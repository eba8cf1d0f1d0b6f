"""Sets that came from elsewhere: how they are read, and what can be known of them."""
