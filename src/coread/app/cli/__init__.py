"""The command line: one program, subcommands named after what they do."""
