"""What the core needs from outside, one protocol per file. Adapters live in other layers."""
