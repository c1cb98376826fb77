"""Payment providers: one file each, and the local Stripe emulator."""
