"""The subcommands of ``tidegate``, one file per group."""
