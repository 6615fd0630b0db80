"""The commands of `mailport`, one file each."""
