"""Region features as other projects publish them: one file for each format, read and written.

base.py says what a format gives and takes, find.py which formats there are and which one a file is in.
"""
