"""What stands in for the world outside when tokenward is shown, tried and measured."""
