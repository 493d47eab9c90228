"""What a shop owes its users: forgetting them wherever they are, and keeping nothing longer than it must."""
