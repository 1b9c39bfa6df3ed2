"""What pytest-dockerbin costs, side by side with what people do without it: ``make bench``."""
